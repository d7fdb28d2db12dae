//! The executable that this crate's tests re-run as a shim.

fn main() {
    if std::env::args_os().next().is_some_and(|argv0| dormouse_kubelet::shim::is_shim(&argv0)) {
        dormouse_kubelet::shim::shim_main();
    }
    eprintln!("this program is for the tests of dormouse-kubelet");
    std::process::exit(2);
}
