//! What a crash leaves of what was not synced.

use fastrand::Rng;

/// One way in which unsynced changes survive a crash or do not. Every combination that they allow is one
/// that a disk with a volatile cache, which writes in any order, may leave.
#[derive(Debug, Clone)]
pub(super) enum Survival {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// Those up to a moment, as a disk leaves that writes in order.
    UpTo(u64),
    /// Each sector, length and name for itself.
    Each(Rng),
    /// Each file as a whole.
    EachFile { random: Rng, keeps: bool },
}

impl Survival {
    /// 0 is nothing, 1 is everything; any other seed draws one of the rest.
    pub(super) fn of_seed(seed: u64, last_sequence: u64) -> Survival {
        let mut random = Rng::with_seed(seed);
        match (seed, random.u64(..4)) {
            (0, _) => Survival::Nothing,
            (1, _) => Survival::Everything,
            (_, 0) => Survival::UpTo(random.u64(..=last_sequence)),
            (_, 1) => Survival::EachFile { random, keeps: false },
            (_, _) => Survival::Each(random),
        }
    }

    /// To be called before the choices of each file.
    pub(super) fn begin_file(&mut self) {
        if let Survival::EachFile { random, keeps } = self {
            *keeps = random.bool();
        }
    }

    /// How many of these steps, of which each undoes the one before, have happened.
    pub(super) fn choose(&mut self, sequences: &mut dyn Iterator<Item = u64>) -> usize {
        match self {
            Survival::Nothing => 0,
            Survival::Everything => sequences.count(),
            Survival::UpTo(last) => sequences.take_while(|sequence| *sequence <= *last).count(),
            Survival::Each(random) => random.usize(..=sequences.count()),
            Survival::EachFile { keeps, .. } => {
                if *keeps {
                    sequences.count()
                } else {
                    0
                }
            }
        }
    }

    /// Whether the change of a name has happened.
    pub(super) fn keeps_name(&mut self, sequence: u64) -> bool {
        match self {
            Survival::Nothing => false,
            Survival::Everything => true,
            Survival::UpTo(last) => sequence <= *last,
            Survival::Each(random) | Survival::EachFile { random, .. } => random.bool(),
        }
    }
}
