//! What LATENCY GRAPH draws and LATENCY DOCTOR says.
//!
//! For: texts for people. May touch: histories that are handed in.
//! Always: a drawing has at most 80 columns and four rows, and a few rows of labels.

use crate::observe::latency::{History, Sample};

/// Columns of a drawing; more samples continue below.
const COLUMNS: usize = 80;
/// Rows of a drawing, without labels.
const ROWS: usize = 4;
/// What the top of a column looks like, lowest first; below it are bars.
const TOPS: [char; 3] = ['_', 'o', '#'];

/// The spikes of an event as a drawing, each with its age below it.
pub(super) fn graph(event: &str, history: &History, now_s: u64) -> String {
    let samples = &history.samples;
    let high = samples.iter().map(|s| s.ms).max().unwrap_or(0);
    let low = samples.iter().map(|s| s.ms).min().unwrap_or(0);
    let mut text = format!("{event} - high {high} ms, low {low} ms (all time high {} ms)\n", history.max_ms);
    text.extend(std::iter::repeat_n('-', COLUMNS));
    text.push('\n');
    for (at, samples) in samples.chunks(COLUMNS).enumerate() {
        if at > 0 {
            text.push('\n');
        }
        draw(&mut text, samples, low, high, now_s);
    }
    text
}

fn draw(text: &mut String, samples: &[Sample], low: u64, high: u64, now_s: u64) {
    let steps = TOPS.len() * ROWS;
    let level = |ms: u64| (((ms - low) * steps as u64 / (high - low).max(1)) as usize).min(steps - 1);
    for row in 0..ROWS {
        let floor = (ROWS - 1 - row) * TOPS.len();
        text.extend(samples.iter().map(|sample| match level(sample.ms).checked_sub(floor) {
            None => ' ',
            Some(over) => TOPS.get(over).copied().unwrap_or('|'),
        }));
        text.push('\n');
    }
    text.extend(std::iter::repeat_n(' ', samples.len()));
    text.push('\n');
    let ages: Vec<String> = samples.iter().map(|sample| age(now_s.saturating_sub(sample.at_s))).collect();
    for at in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.as_bytes().get(at).map_or(' ', |&b| char::from(b))));
        text.push('\n');
    }
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What was slow, in words, and what to do about it.
pub(super) fn report(events: &[(&'static str, History)], threshold_ms: i64, slow_us: i64) -> String {
    if threshold_ms == 0 {
        return "Slow events are not watched: latency-monitor-threshold is 0. Set it to the milliseconds that you \
                find too long, for example with CONFIG SET latency-monitor-threshold 100, and ask again later.\n"
            .to_string();
    }
    if events.is_empty() {
        return format!("No event took longer than {threshold_ms} ms since the server began to watch.\n");
    }
    let mut text = String::from("Some events took long:\n\n");
    for (number, (event, history)) in events.iter().enumerate() {
        text += &describe(number + 1, event, history);
    }
    text += "\nWhat you can do:\n\n";
    for advice in advice(events, threshold_ms, slow_us) {
        text += &format!("- {advice}\n");
    }
    text
}

fn describe(number: usize, event: &str, history: &History) -> String {
    let samples = &history.samples;
    let count = samples.len().max(1) as u64;
    let mean = samples.iter().map(|s| s.ms).sum::<u64>() / count;
    let deviation = samples.iter().map(|s| s.ms.abs_diff(mean)).sum::<u64>() / count;
    let span_s = history.latest().at_s.saturating_sub(samples.first().map_or(0, |s| s.at_s));
    let spikes = if count == 1 { "spike" } else { "spikes" };
    let every = span_s as f64 / samples.len().saturating_sub(1).max(1) as f64;
    format!(
        "{number}. {event}: {count} {spikes} (mean {mean} ms, mean deviation {deviation} ms, one every {every:.2} s). \
         The worst ever took {} ms.\n",
        history.max_ms
    )
}

fn advice(events: &[(&'static str, History)], threshold_ms: i64, slow_us: i64) -> Vec<String> {
    let mut advice = Vec::new();
    let threshold_us = threshold_ms.saturating_mul(1000);
    if events.iter().any(|(event, _)| *event == "command" || *event == "fast-command") {
        if slow_us < 0 || slow_us > threshold_us {
            advice.push(format!(
                "The slow log misses commands that are reported here: CONFIG SET slowlog-log-slower-than {threshold_us}."
            ));
        }
        advice.push(
            "SLOWLOG GET shows which commands were slow, and from which clients they came.".to_string(),
        );
        advice.push(
            "Commands on large values take long: prefer those that walk in steps, such as SCAN, to KEYS."
                .to_string(),
        );
    }
    if events.iter().any(|(event, _)| *event == "fast-command") {
        advice.push(
            "A command that is always quick was slow: look for other processes on the machine's cores, for swapping, \
             and for a virtual machine that is held up."
                .to_string(),
        );
    }
    if events.iter().any(|(event, _)| event.starts_with("expire") || event.starts_with("eviction")) {
        advice.push("Many keys leave at the same moment: spread their deadlines.".to_string());
    }
    if advice.is_empty() {
        advice.push("LATENCY HISTORY and LATENCY GRAPH show when it happened.".to_string());
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(ms: &[u64]) -> History {
        let mut history = History::default();
        ms.iter().enumerate().for_each(|(at, &ms)| history.note(100 + at as u64, ms));
        history
    }

    #[test]
    fn a_graph_has_four_rows_and_ages_below() {
        let text = graph("command", &history(&[20, 100, 50, 200, 10]), 190);
        let dashes = "-".repeat(80);
        let expected = format!(
            "command - high 200 ms, low 10 ms (all time high 200 ms)\n{dashes}\n   # \n   | \n # | \n_|#|_\n     \n\
             11111\nmmmmm\n"
        );
        assert_eq!(text, expected);
        assert_eq!([age(59), age(60), age(7200), age(90_000)], ["59s", "1m", "2h", "1d"]);
    }

    #[test]
    fn one_sample_and_many_samples_can_be_drawn() {
        assert!(graph("x", &history(&[5]), 100).ends_with("\n \n \n \n_\n \n0\ns\n"));
        let many = graph("x", &history(&[1; 100]), 300);
        assert_eq!(many.lines().skip(2).map(str::len).max(), Some(80));
        assert_eq!(many.lines().last().map(str::len), Some(20));
    }

    #[test]
    fn the_doctor_says_what_is_missing() {
        assert!(report(&[], 0, 10_000).contains("latency-monitor-threshold"));
        assert!(report(&[], 5, 10_000).starts_with("No event"));
        let events = [("command", history(&[20, 40]))];
        let text = report(&events, 5, 10_000);
        assert!(text.contains("2 spikes (mean 30 ms, mean deviation 10 ms, one every 1.00 s)"), "{text}");
        assert!(text.contains("slowlog-log-slower-than 5000"));
        assert!(!report(&events, 5, 5000).contains("slowlog-log-slower-than"));
    }
}
