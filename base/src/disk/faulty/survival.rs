//! What a crash leaves of what was not synced.

use super::random::Random;

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
    Each(Random),
    /// Each file as a whole.
    EachFile { random: Random, keeps: bool },
}

impl Survival {
    /// 0 is nothing, 1 is everything; any other seed draws one of the rest.
    pub(super) fn of_seed(seed: u64, last_sequence: u64) -> Survival {
        let mut random = Random::new(seed);
        match (seed, random.below(4)) {
            (0, _) => Survival::Nothing,
            (1, _) => Survival::Everything,
            (_, 0) => Survival::UpTo(random.below(last_sequence + 1)),
            (_, 1) => Survival::EachFile { random, keeps: false },
            (_, _) => Survival::Each(random),
        }
    }

    /// To be called before the choices of each file.
    pub(super) fn begin_file(&mut self) {
        if let Survival::EachFile { random, keeps } = self {
            *keeps = random.coin();
        }
    }

    /// How many of these steps, of which each undoes the one before, have happened.
    pub(super) fn choose(&mut self, sequences: &mut dyn Iterator<Item = u64>) -> usize {
        match self {
            Survival::Nothing => 0,
            Survival::Everything => sequences.count(),
            Survival::UpTo(last) => sequences.take_while(|sequence| *sequence <= *last).count(),
            Survival::Each(random) => random.below(sequences.count() as u64 + 1) as usize,
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
            Survival::Each(random) | Survival::EachFile { random, .. } => random.coin(),
        }
    }
}
