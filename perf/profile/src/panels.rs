//! What people should know before they quote a figure: boxes behind the tables (perf contract 6.9).

use dormouse_perf_metrics::Metric;
use dormouse_perf_metrics::summary::{Summary, Value};

/// Boxes for what is odd in a summary.
#[must_use]
pub fn of(summary: &Summary) -> String {
    let mut text = String::new();
    let all = summary.single(Metric::RequestCount).unwrap_or(0.0);
    if let Some(count) = summary.single(Metric::UsageDiscrepancyCount).filter(|count| *count > 0.0) {
        let lines = [
            format!("In {count} of {all} requests the server's usage and our own count differ by more than 10 %."),
            String::new(),
            "We count the text alone, without template and special tokens, with the tokenizer that was given.".to_owned(),
            "  - usage_*_diff_pct in profile_export.jsonl has the difference of each request".to_owned(),
            "  - is the tokenizer the model's own?".to_owned(),
            "  - --use-server-token-count takes the server's word".to_owned(),
        ];
        text.push_str(&boxed("Token Count Discrepancy Warning", &lines));
    }
    if let Some(count) = summary.single(Metric::OslMismatchCount).filter(|count| *count > 0.0) {
        let mean = match summary.get(Metric::OslMismatchDiffPct) {
            Some(Value::Stats(stats)) => format!(" On average they are off by {:.1} %.", stats.avg),
            _ => String::new(),
        };
        let lines = [
            format!("{count} of {all} answers are longer or shorter than was asked for, by more than 5 % or 50 tokens.{mean}"),
            String::new(),
            "Most servers end where the model does. To be given as many as were asked for:".to_owned(),
            "  - --extra-inputs ignore_eos:true (vLLM, TensorRT-LLM)".to_owned(),
            "  - --extra-inputs min_tokens:N (vLLM, TensorRT-LLM, SGLang)".to_owned(),
        ];
        text.push_str(&boxed("Output Sequence Length Mismatch Warning", &lines));
    }
    text
}

fn boxed(title: &str, lines: &[String]) -> String {
    let length = |text: &str| text.chars().count();
    let width = lines.iter().map(|line| length(line)).max().unwrap_or(0).max(length(title)) + 4;
    let space = width - length(title) - 2;
    let mut text = format!("\n╭{} {title} {}╮\n", "─".repeat(space / 2), "─".repeat(space - space / 2));
    for line in lines {
        text.push_str(&format!("│  {line}{}  │\n", " ".repeat(width - 4 - length(line))));
    }
    text.push_str(&format!("╰{}╯\n", "─".repeat(width)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_as_wide_as_what_is_in_them() {
        let text = boxed("T", &["a longer line".to_owned(), String::new()]);
        let widths: Vec<usize> = text.lines().skip(1).map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]) && widths.len() == 4, "{text}");
    }
}
