//! Flags that many programs have.

use std::time::Duration;

use jiff::SignedDuration;

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Flags of klog, under the peers' names. Only the verbosity means something here: logs go to standard error. The others are
/// accepted so that manifests of the peers start our programs.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct KlogFlags {
    /// Log verbosity, from 0
    #[arg(short = 'v', long = "v", default_value_t = 0)]
    pub verbosity: u8,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    logtostderr: Option<Option<bool>>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true)]
    alsologtostderr: Option<Option<bool>>,
    #[arg(long = "one_output", hide = true, num_args = 0..=1, require_equals = true)]
    one_output: Option<Option<bool>>,
    #[arg(long = "skip_headers", hide = true, num_args = 0..=1, require_equals = true)]
    skip_headers: Option<Option<bool>>,
    #[arg(long = "skip_log_headers", hide = true, num_args = 0..=1, require_equals = true)]
    skip_log_headers: Option<Option<bool>>,
    #[arg(long = "add_dir_header", hide = true, num_args = 0..=1, require_equals = true)]
    add_dir_header: Option<Option<bool>>,
    #[arg(long, hide = true)]
    vmodule: Option<String>,
    #[arg(long, hide = true)]
    stderrthreshold: Option<String>,
    #[arg(long = "log_dir", hide = true)]
    log_dir: Option<String>,
    #[arg(long = "log_file", hide = true)]
    log_file: Option<String>,
    #[arg(long = "log_file_max_size", hide = true)]
    log_file_max_size: Option<u64>,
    #[arg(long = "log_backtrace_at", hide = true)]
    log_backtrace_at: Option<String>,
}

/// A duration as Go writes it (`10s`, `1m30s`, `250ms`, `1.5h`), or seconds.
///
/// # Errors
/// When it is none, or negative.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u32>().ok().map(|s| Duration::from_secs(s.into()));
    let written = || text.parse::<SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
    seconds.or_else(written).ok_or_else(|| format!("{text:?} is no duration (write seconds, or like 250ms, 10s, 1m30s)"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        klog: KlogFlags,
    }

    #[test]
    fn klogs_flags_are_accepted() {
        let parse = |args: &str| Program::try_parse_from(args.split(' '));
        let all = "x -v=5 --logtostderr --alsologtostderr=false --one_output --skip_headers=true --skip_log_headers --add_dir_header \
                   --vmodule=x=1 --stderrthreshold=2 --log_dir=/x --log_file=x --log_file_max_size=1800 --log_backtrace_at=x:1";
        assert_eq!(parse(all).unwrap().klog.verbosity, 5);
        assert_eq!(parse("x --v=4 --logtostderr=false").unwrap().klog.verbosity, 4);
        assert_eq!(parse("x --logtostderr=perhaps").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn gos_durations() {
        for (text, ms) in [("10s", 10_000), ("1m30s", 90_000), ("250ms", 250), ("1.5h", 5_400_000), ("0", 0), ("7", 7_000), ("100us", 0)] {
            assert_eq!(duration(text).unwrap().as_millis(), ms, "{text}");
        }
        for text in ["", "s", "x", "10x", "1s2", "-1", "-1s", "1..5s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
