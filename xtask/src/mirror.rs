//! Which Debian mirror this machine uses, read from its apt configuration (sources.list(5), both styles).
//!
//! Nothing here knows a host name: a private mirror or a proxy that works for the machine works for `xtask` too.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// A mirror of the Debian archive, and what its signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// Base of the archive, the part before `/dists`.
    pub(crate) uri: String,
    /// The value of `Signed-By`, or `None` where apt's global keys are trusted.
    pub(crate) signed_by: Option<SignedBy>,
}

/// The keys that sign a mirror's releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignedBy {
    /// A keyring file (or fingerprints, as apt takes both).
    File(String),
    /// A key written out in the sources file itself.
    Inline(String),
}

/// Suites and codenames of releases (not of their security or update archives).
const RELEASES: [&str; 10] = [
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "bullseye",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "oldoldstable",
];

/// The mirror that this machine's apt configuration names first.
pub(crate) fn find() -> Result<Mirror> {
    find_below(Path::new("/etc/apt"))
}

fn find_below(configuration: &Path) -> Result<Mirror> {
    let mut files = vec![configuration.join("sources.list")];
    if let Ok(entries) = fs::read_dir(configuration.join("sources.list.d")) {
        let mut more: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.extend(more);
    }
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let found = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => in_one_line_style(&text),
            Some("sources") => in_deb822_style(&text),
            _ => None,
        };
        if let Some(mirror) = found {
            return Ok(mirror);
        }
    }
    bail!("no mirror of Debian's main archive in {}", configuration.display());
}

fn is_wanted<'a>(
    mut suites: impl Iterator<Item = &'a str>,
    mut components: impl Iterator<Item = &'a str>,
) -> bool {
    suites.any(|suite| RELEASES.contains(&suite)) && components.any(|component| component == "main")
}

/// `deb [options] uri suite component...`
fn in_one_line_style(text: &str) -> Option<Mirror> {
    text.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let rest =
            line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        let suite = words.next()?;
        if !is_wanted(std::iter::once(suite), words) {
            return None;
        }
        let signed_by =
            options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        Some(Mirror {
            uri: uri.into(),
            signed_by: signed_by.map(|file| SignedBy::File(file.into())),
        })
    })
}

/// Stanzas of `Field: value` lines, continued by indented lines, separated by empty lines.
fn in_deb822_style(text: &str) -> Option<Mirror> {
    let mut stanza: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain(std::iter::once("")) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            if let Some(mirror) = from_stanza(&stanza) {
                return Some(mirror);
            }
            stanza.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            stanza.push((name.to_ascii_lowercase(), value.trim().into()));
        }
    }
    None
}

fn from_stanza(stanza: &[(String, String)]) -> Option<Mirror> {
    let field = |name: &str| {
        stanza.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    let words = |name: &str| field(name).unwrap_or_default().split_whitespace();
    let is_enabled = field("enabled") != Some("no");
    if !is_enabled
        || !words("types").any(|kind| kind == "deb")
        || !is_wanted(words("suites"), words("components"))
    {
        return None;
    }
    let uri = words("uris").next()?.to_owned();
    let signed_by = field("signed-by").map(|value| {
        if value.contains("-----BEGIN") {
            // A line of one dot stands for an empty line.
            let lines = value.lines().map(|line| if line == "." { "" } else { line });
            SignedBy::Inline(lines.collect::<Vec<_>>().join("\n").trim().to_owned() + "\n")
        } else {
            SignedBy::File(value.into())
        }
    });
    Some(Mirror { uri, signed_by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_style() {
        let text = "# deb http://commented.example/debian bookworm main\n\
                    deb-src http://source.example/debian bookworm main\n\
                    deb http://security.example/debian-security bookworm-security main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm contrib main # why\n";
        let expected = Mirror {
            uri: "http://mirror.example/debian".into(),
            signed_by: Some(SignedBy::File("/k.gpg".into())),
        };
        assert_eq!(in_one_line_style(text), Some(expected));
        assert_eq!(in_one_line_style("deb http://other.example/apt tool-bookworm main"), None);
    }

    #[test]
    fn deb822_style() {
        let text = "Types: deb\nURIs: http://off.example/debian\nSuites: trixie\nComponents: main\nEnabled: no\n\n\
                    Types: deb deb-src\n# a remark\nURIs: http://mirror.example/debian\n http://second.example/debian\n\
                    Suites: trixie trixie-updates\nComponents: main\nSigned-By: /k.pgp";
        let expected = Mirror {
            uri: "http://mirror.example/debian".into(),
            signed_by: Some(SignedBy::File("/k.pgp".into())),
        };
        assert_eq!(in_deb822_style(text), Some(expected));
    }

    #[test]
    fn a_key_written_out_is_kept() {
        let text = "Types: deb\nURIs: http://m.example/debian\nSuites: sid\nComponents: main\n\
                    Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n";
        let key =
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n";
        let found = in_deb822_style(text).expect("a mirror");
        assert_eq!(found.signed_by, Some(SignedBy::Inline(key.into())));
    }
}
