//! The pass over the dense arrays that a snapshot is made of: which positions run a transaction that counts,
//! and the oldest of these.
//!
//! A position counts if it has an xid below xmax, is not the asker's own, and its status does not exempt it.
//! With AVX2, eight positions a step: all three arrays are read where they lie, and what counts is moved
//! together by a permutation, so that no branch depends on who runs. Elsewhere, and under loom and shuttle, one by one.
//! Measured: docs/benchmarks/snapshot.md.
//!
//! Invariant: both ways give the same; each word is read once. The words behind the last position are 0
//! ([`crate::dense`]), so that a step may read them.

use base::Xid;
use base::sync::atomic::Ordering::Relaxed;

use crate::dense::Dense;
use crate::proc::StatusFlags;
use crate::running::RunningPass;
use crate::subxids::SubxidState;

/// Positions that are read in one step; the dense arrays' length is a multiple of it.
pub(crate) const STEP: usize = 8;

/// Counts the slots at positions `0..len`, in their order, but the asker's own. `subxids` appends the
/// subtransactions' ids of the slot at a position.
#[inline]
pub(crate) fn running(
    pass: &mut RunningPass<'_>,
    dense: &Dense,
    len: usize,
    own: Option<usize>,
    subxids: impl FnMut(usize, &mut Vec<Xid>) -> SubxidState,
) {
    #[cfg(all(target_arch = "x86_64", not(any(loom, shuttle, miri))))]
    if avx2::is_there() {
        return avx2::running(pass, dense, len, own, subxids);
    }
    one_by_one(pass, dense, len, own, subxids);
}

fn one_by_one(
    pass: &mut RunningPass<'_>,
    dense: &Dense,
    len: usize,
    own: Option<usize>,
    mut subxids: impl FnMut(usize, &mut Vec<Xid>) -> SubxidState,
) {
    for position in 0..len {
        let xid = Xid(dense.xids[position].load(Relaxed));
        if xid != Xid::INVALID && Some(position) != own {
            let status = || StatusFlags(dense.statuses[position].load(Relaxed));
            pass.slot(xid, status, |into| subxids(position, into));
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(any(loom, shuttle, miri))))]
mod avx2 {
    use std::arch::asm;
    use std::arch::x86_64::*;

    use base::sync::atomic::{AtomicU8, AtomicU32};
    use base::{FullXid, Xid};

    use super::STEP;
    use crate::dense::Dense;
    use crate::proc::StatusFlags;
    use crate::running::RunningPass;
    use crate::subxids::SubxidState;

    /// Whether the processor has the instructions.
    #[inline]
    pub(super) fn is_there() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2")
    }

    #[inline]
    #[expect(unsafe_code, reason = "the instructions are looked for at run time")]
    pub(super) fn running(
        pass: &mut RunningPass<'_>,
        dense: &Dense,
        len: usize,
        own: Option<usize>,
        mut subxids: impl FnMut(usize, &mut Vec<Xid>) -> SubxidState,
    ) {
        let xmax = pass.xmax;
        let question = Question { len, own: own.unwrap_or(usize::MAX), xmax };
        let set = &mut *pass.set;
        let (into, overflowed) = (&mut set.subxids, &mut set.overflowed);
        let with_subxids = |position| {
            if !*overflowed {
                *overflowed = subxids(position, into).overflowed;
            }
        };
        // SAFETY: the caller has seen that the processor has the instructions.
        let oldest = unsafe { scan(dense, question, &mut set.xids, with_subxids) };
        let oldest = FullXid(set.xmax.0.saturating_add_signed(i64::from(oldest)));
        pass.xmin = pass.xmin.min(oldest);
    }

    /// What is asked.
    #[derive(Clone, Copy)]
    struct Question {
        /// Positions `0..len` are in use.
        len: usize,
        /// The asker's position, or one that is not in use.
        own: usize,
        /// What has ended is below; a normal xid.
        xmax: Xid,
    }

    /// Four bytes each of eight words that other threads may write meanwhile: eight relaxed loads. An x86
    /// processor reads each aligned word at once, in a vector, too.
    ///
    /// # Safety
    /// Eight aligned words can be read at `words`.
    #[inline]
    #[target_feature(enable = "avx2")]
    #[expect(unsafe_code, reason = "atomics have no vector loads")]
    unsafe fn load_words(words: *const u32) -> __m256i {
        let loaded;
        // SAFETY: by the contract; assembly, since a plain load would be a data race with the stores.
        unsafe {
            asm!("vmovdqu {}, [{}]", out(ymm_reg) loaded, in(reg) words,
                options(nostack, preserves_flags, readonly));
        }
        loaded
    }

    /// Eight bytes in the same way.
    ///
    /// # Safety
    /// Eight bytes can be read at `bytes`.
    #[inline]
    #[expect(unsafe_code, reason = "atomics have no vector loads")]
    unsafe fn load_bytes(bytes: *const u8) -> u64 {
        let loaded;
        // SAFETY: by the contract; assembly, since a plain load would be a data race with the stores.
        unsafe {
            asm!("mov {}, [{}]", out(reg) loaded, in(reg) bytes,
                options(nostack, preserves_flags, readonly));
        }
        loaded
    }

    /// Puts the xids that count behind those in `xids`, and calls `with_subxids` for each position of theirs
    /// that has subtransactions. Gives the distance of the oldest one from xmax: 0 or less.
    #[target_feature(enable = "avx2,bmi2,popcnt")]
    #[expect(unsafe_code, reason = "reads and writes eight places at once")]
    fn scan(
        dense: &Dense,
        question: Question,
        xids: &mut Vec<Xid>,
        mut with_subxids: impl FnMut(usize),
    ) -> i32 {
        const EXEMPT: u64 = 0x0101_0101_0101_0101 * StatusFlags::NOT_IN_SNAPSHOTS.0 as u64;
        let Question { len, own, xmax } = question;
        let steps = len.div_ceil(STEP);
        let end = steps * STEP;
        assert!(
            end <= dense.xids.len()
                && end <= dense.subxid_states.len()
                && end <= dense.statuses.len()
        );
        let before = xids.len();
        xids.reserve(end + STEP);
        let out = xids.as_mut_ptr();
        let mut found = before;
        let xmaxes = _mm256_set1_epi32(xmax.0 as i32);
        let mut oldest = _mm256_setzero_si256();
        for step in 0..steps {
            let at = step * STEP;
            // SAFETY: `at + 8 <= end`, which is within all three arrays; Xid and the atomics have the
            // layout of what they hold.
            let (words, states, statuses) = unsafe {
                (
                    load_words(dense.xids.as_ptr().add(at).cast()),
                    load_words(dense.subxid_states.as_ptr().add(at).cast()),
                    load_bytes(dense.statuses.as_ptr().add(at).cast()),
                )
            };
            // Negative where the xid precedes xmax: both are normal.
            let distances = _mm256_sub_epi32(words, xmaxes);
            let empty = _mm256_cmpeq_epi32(words, _mm256_setzero_si256());
            let running = _mm256_andnot_si256(empty, distances);
            let mut counts = _mm256_movemask_ps(_mm256_castsi256_ps(running)) as u32;
            if own.wrapping_sub(at) < STEP {
                counts &= !(1 << (own - at));
            }
            if statuses & EXEMPT != 0 {
                for (lane, status) in statuses.to_le_bytes().into_iter().enumerate() {
                    if StatusFlags(status).any_of(StatusFlags::NOT_IN_SNAPSHOTS) {
                        counts &= !(1 << lane);
                    }
                }
            }
            // A byte of ones for each lane that counts; with it, the lanes' numbers moved together.
            let bytes = _pdep_u64(u64::from(counts), 0x0101_0101_0101_0101) * 0xFF;
            let lanes = _pext_u64(0x0706_0504_0302_0100, bytes);
            let order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(lanes as i64));
            let together = _mm256_permutevar8x32_epi32(words, order);
            // SAFETY: `found <= before + at`, and there is room for eight behind it; see `reserve`.
            unsafe { _mm256_storeu_si256(out.add(found).cast(), together) };
            found += counts.count_ones() as usize;
            let mask = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(bytes as i64));
            oldest = _mm256_min_epi32(oldest, _mm256_and_si256(distances, mask));
            if _mm256_testz_si256(states, mask) == 0 {
                let mut having = [0u32; STEP];
                // SAFETY: eight words fit.
                unsafe { _mm256_storeu_si256(having.as_mut_ptr().cast(), states) };
                for (lane, state) in having.into_iter().enumerate() {
                    if state != 0 && counts & (1 << lane) != 0 {
                        with_subxids(at + lane);
                    }
                }
            }
        }
        // SAFETY: that many were written, one behind the other.
        unsafe { xids.set_len(found) };
        let mut lanes = [0i32; STEP];
        // SAFETY: eight words fit.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), oldest) };
        lanes.into_iter().min().unwrap_or(0)
    }

    const _: () = assert!(size_of::<Xid>() == 4 && align_of::<Xid>() == 4);
    const _: () = assert!(size_of::<AtomicU32>() == 4 && size_of::<AtomicU8>() == 1);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use base::FullXid;
    use proptest::prelude::*;

    use super::*;
    use crate::running::RunningSet;

    proptest! {
        #[test]
        fn both_ways_give_the_same(
            xmax in prop_oneof![3..100u32, 0x7FFF_FFF0..=0x8000_0010u32, 0xFFFF_FF00..=u32::MAX],
            slots in proptest::collection::vec(
                (-200..200i32, any::<bool>(), prop_oneof![4 => Just(0u8), 1 => any::<u8>()],
                 prop_oneof![4 => Just(0u32), 1 => 1..=0x140u32]),
                0..70,
            ),
            own in 0..70usize,
        ) {
            let dense = Dense::new(slots.len());
            for (position, (distance, runs, status, subxids)) in slots.iter().enumerate() {
                let xid = xmax.wrapping_add_signed(*distance);
                // Ids below 3 are no transactions' own.
                let xid = if *runs && xid >= 3 { xid } else { 0 };
                dense.xids[position].store(xid, Relaxed);
                dense.statuses[position].store(*status, Relaxed);
                dense.subxid_states[position].store(*subxids, Relaxed);
            }
            let latest = FullXid((1 << 32) + u64::from(xmax) - 1);
            let subxids = |position: usize, into: &mut Vec<Xid>| {
                let state = SubxidState::from_word(slots[position].3);
                into.extend((0..state.count).map(|n| Xid(100 * position as u32 + u32::from(n))));
                state
            };
            let (mut plain, mut fast) = (RunningSet::default(), RunningSet::default());
            let mut pass = RunningPass::begin(&mut plain, latest, None);
            one_by_one(&mut pass, &dense, slots.len(), Some(own), subxids);
            pass.end();
            let mut pass = RunningPass::begin(&mut fast, latest, None);
            running(&mut pass, &dense, slots.len(), Some(own), subxids);
            pass.end();
            prop_assert_eq!(&plain, &fast);
            let oldest = plain.xids.iter().map(|xid| xmax.wrapping_sub(xid.0)).max();
            prop_assert_eq!(plain.xmax.0 - plain.xmin.0, u64::from(oldest.unwrap_or(0)));
        }
    }
}
