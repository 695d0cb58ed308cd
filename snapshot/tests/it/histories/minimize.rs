//! What fails, cut down to what makes it fail.

/// Cuts a history that fails down: leaves steps out, in runs of every length, and makes numbers smaller,
/// as long as what remains still fails.
pub(super) fn minimized(
    mut steps: Vec<(u8, u8)>,
    fails: impl Fn(&[(u8, u8)]) -> Option<String>,
) -> (Vec<(u8, u8)>, String) {
    let mut failure = fails(&steps).expect("a history that fails");
    let mut shrinking = true;
    while shrinking {
        shrinking = false;
        let mut length = steps.len();
        while length > 0 {
            let mut at = 0;
            while at + length <= steps.len() {
                let mut shorter = steps.clone();
                shorter.drain(at..at + length);
                if let Some(message) = fails(&shorter) {
                    (steps, failure, shrinking) = (shorter, message, true);
                } else {
                    at += 1;
                }
            }
            length /= 2;
        }
        for at in 0..steps.len() {
            let (kind, number) = steps[at];
            // Of the first number the upper half says how, and its sixteenth what.
            let how = (kind % 16..kind).step_by(16).map(|kind| (kind, number));
            for simpler_step in how.chain((0..number).map(|number| (kind, number))) {
                let mut simpler = steps.clone();
                simpler[at] = simpler_step;
                if let Some(message) = fails(&simpler) {
                    (steps, failure, shrinking) = (simpler, message, true);
                    break;
                }
            }
        }
    }
    (steps, failure)
}
