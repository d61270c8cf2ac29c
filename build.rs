//! How the program is linked: every hook starts it, so that what the loader does counts.
// This is no part of the program: what it writes is the build's.
#![allow(clippy::disallowed_methods)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |key: &str| std::env::var(format!("CARGO_CFG_TARGET_{key}")).unwrap_or_default();
    if target("OS") != "linux" || target("ENV") != "gnu" {
        return Ok(());
    }
    // At a fixed address, as Go's programs are: the loader then has nothing to relocate, and every hook starts 0.6 ms
    // earlier. What a random address would guard against is C code, of which there is SQLite and zstd.
    println!("cargo:rustc-link-arg-bins=-no-pie");
    if let Some(dir) = static_unwinder()? {
        println!("cargo:rustc-link-arg-bins=-L{}", dir.display());
    }
    Ok(())
}

/// Makes a folder where the linker finds GCC's unwinder as a static library under the name of the shared one, which is
/// what `rustc` asks for. Loading and initialising that takes as long as all else before `main`: 0.6 ms.
///
/// `None` where the compiler has no such library, or is not asked because the program is for another machine.
fn static_unwinder() -> Result<Option<PathBuf>, Box<dyn Error>> {
    if std::env::var("HOST")? != std::env::var("TARGET")? {
        return Ok(None);
    }
    let Ok(asked) = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output() else { return Ok(None) };
    // A compiler that does not find it prints the bare name.
    let found = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    if !Path::new(&found).is_absolute() || !Path::new(&found).exists() {
        return Ok(None);
    }
    let dir = PathBuf::from(std::env::var("OUT_DIR")?).join("unwinder");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("libgcc_s.so"), "INPUT ( -lgcc_eh -lgcc )\n")?;
    Ok(Some(dir))
}
