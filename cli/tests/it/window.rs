//! `--since` and `--until`: what is shown is bounded by commits, found here from the text itself.

use crate::corpus;

/// Commit records of a text: line number and time as printed.
fn commits(lines: &[&str]) -> Vec<(usize, String)> {
    let mut commits = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let Some((_, description)) = line.split_once("desc: COMMIT") else { continue };
        let is_date = |at: &usize| {
            let text = &description.as_bytes()[*at..];
            text.starts_with(b"20") && text.get(4) == Some(&b'-') && text.get(7) == Some(&b'-')
        };
        let at = (0..description.len()).find(is_date).expect("a commit has a time");
        commits.push((number, description[at..at + 26].to_owned()));
    }
    commits
}

#[test]
fn times_bound_what_is_shown_by_commits() {
    for name in ["15-main", "18-timelines"] {
        let corpus = corpus::of(name);
        let whole = corpus.waldump(&[]).stdout;
        let whole = String::from_utf8_lossy(&whole);
        let lines: Vec<&str> = whole.lines().collect();
        let commits = commits(&lines);
        assert!(commits.len() > 10, "{name}: {}", commits.len());
        for (from, to) in [(0, commits.len() - 1), (3, 7), (5, 5), (1, commits.len() - 2)] {
            let (since, until) = (&commits[from].1, &commits[to].1);
            // The bounds that the rule gives; times may not quite rise along the log.
            let first = commits.iter().position(|(_, time)| time >= since).expect("itself");
            let last = commits.iter().rposition(|(_, time)| time <= until).expect("itself");
            let start = if first == 0 { 0 } else { commits[first - 1].0 + 1 };
            let expected = lines[start..=commits[last].0].join("\n") + "\n";
            let found =
                corpus.waldump(&["--since", &format!("{since}Z"), "--until", &in_iso_form(until)]);
            corpus::assert_same(name, expected.as_bytes(), &found.stdout);
            assert_eq!(found.status.code(), Some(0));
        }
    }
}

/// The same time in another of the forms that are understood.
fn in_iso_form(time: &str) -> String {
    time.replace(' ', "T") + "+00:00"
}

#[test]
fn no_commit_within_is_said() {
    let corpus = corpus::of("15-main");
    let output = corpus.waldump(&["--since", "2100-01-01Z"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("strata: no transaction commits between these times"), "{stderr}");
}
