//! What lies in `corpus` is checked as any test is: examples that fuzzing begins from, and what it once found.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use dormouse_fuzz::{memory, target};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Checks every file of a target; the one that fails is named last.
fn replay(name: &str) {
    let (check, folder) = (target(name).unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name));
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        println!("{}", file.display());
        check(&fs::read(file).unwrap());
    }
    for nothing in [b"".as_slice(), b"\0", b"aaaaa"] {
        check(nothing);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn each_target_has_its_test_and_no_folder_is_of_none() {
            let tests = [$(stringify!($name)),*];
            assert_eq!(dormouse_fuzz::TARGETS.map(|(name, _)| name), tests);
            for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).unwrap() {
                assert!(tests.iter().any(|name| entry.as_ref().unwrap().file_name() == **name), "{entry:?}");
            }
        }
    };
}

targets!(sse http exchange dataset yaml prometheus records proposal);

#[test]
fn memory_is_counted() {
    let (_, most) = memory::peak(|| drop(vec![0_u8; 100_000]));
    assert!((100_000..110_000).contains(&most), "{most}");
}
