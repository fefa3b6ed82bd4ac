//! Each target with the inputs that were kept and some that nobody has tried.

use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

/// The longest random input, in bytes: some dozen changes to a sample.
const LONGEST: usize = 64;

/// Where a target's inputs are.
fn kept(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

/// Tries an input. One that fails is kept, and so tried by every later run.
fn try_and_keep(target: &str, input: &[u8], check: fn(&[u8])) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| check(input))) {
        let mut name = "failed-".to_owned();
        for byte in input {
            let _ = write!(name, "{byte:02x}");
        }
        let file = kept(target).join(name);
        fs::write(&file, input).expect("the input is kept");
        eprintln!("{target} failed with the input in {}", file.display());
        resume_unwind(cause);
    }
}

fn bounded(target: &str, check: fn(&[u8]), times: usize) {
    let mut files: Vec<PathBuf> = fs::read_dir(kept(target))
        .expect("there are kept inputs")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no kept input");
    for file in files {
        check(&fs::read(&file).expect("an input"));
    }
    let mut chance = StdRng::from_os_rng();
    for _ in 0..times {
        let mut input = vec![0; chance.random_range(0..=LONGEST)];
        chance.fill_bytes(&mut input);
        try_and_keep(target, &input, check);
    }
}

#[test]
fn events() {
    bounded("events", fuzz::events::check, 20_000);
}

#[test]
fn queries() {
    bounded("queries", fuzz::queries::check, 500);
}

#[test]
fn answers() {
    bounded("answers", fuzz::answers::check, 500);
}
