//! Which corpora there are, and when one of them is out of date.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::scripts;
use crate::installation::Installation;

/// What happens in a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Nearly every record type: wal_level = logical, segments of 16 MB, data checksums.
    Main,
    /// wal_level = minimal, segments of 1 MB, records over several segments.
    Minimal,
    /// A million transaction ids used up, old ones frozen and cut off the transaction logs; segments of 64 MB.
    Wrap,
    /// A crash in the middle of a record: what the next start found and made of it.
    Overwritten,
    /// The same crash, as the log was before the next start.
    Torn,
    /// Recovery to a point in the past and two promotions: three timelines.
    Timelines,
    /// Records of a resource manager that an extension brings.
    Custom,
    /// Heap records alone, for the servers of earlier minor versions, which wrote some of them in another form.
    Heap,
}

impl Scenario {
    /// What every major version plays.
    const ALL: [Self; 6] =
        [Self::Main, Self::Minimal, Self::Wrap, Self::Overwritten, Self::Torn, Self::Timelines];

    fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Minimal => "minimal",
            Self::Wrap => "wrap",
            Self::Overwritten => "overwritten",
            Self::Torn => "torn",
            Self::Timelines => "timelines",
            Self::Custom => "custom",
            Self::Heap => "heap",
        }
    }
}

/// One corpus: a scenario played by one installation's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) installation: Installation,
    pub(crate) scenario: Scenario,
}

impl Recipe {
    /// Every corpus, in the order in which they are made.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let majors = [
            Installation::Debian15,
            Installation::Npm16,
            Installation::Debian17,
            Installation::Debian18,
        ];
        let whole = majors.into_iter().flat_map(|installation| {
            Scenario::ALL.into_iter().map(move |scenario| Self { installation, scenario })
        });
        let one = |installation, scenario| Self { installation, scenario };
        let further = [
            // The only version whose headers the setup installs.
            one(Installation::Debian15, Scenario::Custom),
            one(Installation::Npm17, Scenario::Heap),
            one(Installation::Npm18, Scenario::Heap),
        ];
        // 16 has no program that would say what it makes of a log which no server can start from.
        whole.chain(further).filter(|recipe| {
            recipe.scenario != Scenario::Torn || recipe.waldump_installation().is_some()
        })
    }

    /// The major version of the server.
    pub(crate) fn major(&self) -> u32 {
        self.installation.major()
    }

    /// The name of the corpus and of its directory, such as `15-main`, or `17-npm-heap` for the second server of 17.
    pub(crate) fn name(&self) -> String {
        let which = match self.installation {
            Installation::Npm17 | Installation::Npm18 => "npm-",
            _ => "",
        };
        format!("{}-{which}{}", self.major(), self.scenario.name())
    }

    /// Whose pg_waldump and pg_controldata read this corpus; none for 16.
    pub(crate) fn waldump_installation(&self) -> Option<Installation> {
        match self.major() {
            15 => Some(Installation::Debian15),
            17 => Some(Installation::Debian17),
            18 => Some(Installation::Debian18),
            _ => None,
        }
    }
}

/// Changes with everything that decides what is in a corpus: the SQL, and the source of the steps and goldens.
pub(crate) fn hash() -> String {
    let sources = [
        include_str!("recipe.rs"),
        include_str!("scenario.rs"),
        include_str!("scripts.rs"),
        include_str!("custom.rs"),
        include_str!("goldens.rs"),
        include_str!("fullpage.rs"),
        include_str!("inspect.rs"),
        include_str!("log_files.rs"),
        include_str!("manifest.rs"),
    ];
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    scripts::ALL.hash(&mut hasher);
    scripts::CUSTOM_RMGR_C.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
