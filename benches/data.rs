//! What the benches run on.

use std::fmt::Write as _;
use std::path::PathBuf;

/// The seed of everything generated here.
pub const SEED: u64 = 0x6f6e_656e_6221_2026;

/// A small generator, so that every run sees the same bytes.
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(SEED)
    }
}

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes that nothing compresses.
    pub fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

/// A table as text, of about `len` bytes.
pub fn table(len: usize) -> Vec<u8> {
    const PLACES: [&str; 6] = ["Oslo", "Lagos", "Lima", "Quito", "Osaka", "Turin"];
    let mut random = Random::default();
    let mut text = String::with_capacity(len + 64);
    for row in 0.. {
        if text.len() >= len {
            break;
        }
        let value = random.next();
        let place = PLACES[(value % 6) as usize];
        writeln!(text, "{row},{place},{}.{:02},{}", value >> 50, value >> 32 & 63, value >> 20 & 0xfff).unwrap();
    }
    text.into_bytes()
}

/// The table with every n-th line changed and one line in 10 n inserted.
pub fn edited(table: &[u8], every: usize) -> Vec<u8> {
    let mut random = Random(SEED ^ 1);
    let mut made = Vec::with_capacity(table.len() + table.len() / 100);
    for (number, line) in table.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if number % every == every / 2 {
            made.extend_from_slice(format!("{number},changed,{}\n", random.next() >> 40).as_bytes());
        } else {
            made.extend_from_slice(line);
        }
        if number % (10 * every) == 1 {
            made.extend_from_slice(b"0,inserted,0.00,0\n");
        }
    }
    made
}

/// Successive real versions of one file, oldest first; empty, saying so, where there is no corpus.
pub fn versions(folder: &str) -> Vec<Vec<u8>> {
    let Some(corpus) = std::env::var_os("ONENB_CORPUS") else {
        println!("skipped: ONENB_CORPUS is not set, versions/{folder} is needed");
        return vec![];
    };
    let dir = PathBuf::from(corpus).join("versions").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}
