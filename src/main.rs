//! The `onenb` program; `1nb` is the same file under its short name.

fn main() -> std::process::ExitCode {
    onenb::cli::main()
}
