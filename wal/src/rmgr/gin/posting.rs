//! Posting lists, the compressed form of tuple positions, and the actions that a record takes on those of
//! a posting tree's leaf.
//!
//! ```text
//! offset  size  field      GinPostingList, aligned to 2 bytes
//!      0     6  first      the first position, as it is
//!      6     2  nbytes
//!      8        bytes      the distances to the following ones; one byte of padding if nbytes is odd
//! ```
//!
//! A position is a number of 43 bits, block << 11 | offset; a distance is written 7 bits a byte, low ones
//! first, the high bit set in all but the last. Source: `ginpostinglist.c`. Invariant: a [`PostingList`],
//! [`PostingLists`] and [`Recompression`] has been walked to its end when made, so that reading it again
//! cannot fail.

use base::Tid;
use serde::{Serialize, Serializer};

use super::super::{Array, Cursor, PayloadError};

/// Bits of a position that are the offset.
const OFFSET_BITS: u32 = 11;
/// What a distance takes at most, in bytes.
const MAX_DISTANCE_BYTES: u32 = 7;

/// A posting list: positions in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostingList<'a> {
    first: Tid,
    distances: &'a [u8],
}

impl<'a> PostingList<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<PostingList<'a>, PayloadError> {
        let first = cursor.tid()?;
        let length = usize::from(cursor.u16()?);
        let distances = cursor.bytes(length)?;
        cursor.skip(length % 2)?;
        Ok(PostingList { first, distances })
    }

    /// The positions.
    pub fn items(&self) -> impl Iterator<Item = Tid> + use<'a> {
        let mut position =
            u64::from(self.first.block) << OFFSET_BITS | u64::from(self.first.offset);
        let mut rest = self.distances;
        let following = std::iter::from_fn(move || {
            position = position.wrapping_add(distance(&mut rest)?);
            let offset = position & ((1 << OFFSET_BITS) - 1);
            Some(Tid { block: (position >> OFFSET_BITS) as u32, offset: offset as u16 })
        });
        std::iter::once(self.first).chain(following)
    }
}

/// The next distance; `None` where the bytes end, also within one.
fn distance(rest: &mut &[u8]) -> Option<u64> {
    let mut distance = 0;
    for place in 0..MAX_DISTANCE_BYTES {
        let (&byte, following) = rest.split_first()?;
        *rest = following;
        distance |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(distance)
}

/// Serialized as its positions.
impl Serialize for PostingList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.items())
    }
}

/// Posting lists, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostingLists<'a> {
    bytes: &'a [u8],
}

impl<'a> PostingLists<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<PostingLists<'a>, PayloadError> {
        let mut cursor = Cursor::new("GinPostingList", bytes);
        while cursor.remaining() > 0 {
            PostingList::read(&mut cursor)?;
        }
        Ok(PostingLists { bytes })
    }

    /// The lists in order.
    pub fn iter(&self) -> impl Iterator<Item = PostingList<'a>> + use<'a> {
        let mut cursor = Cursor::new("GinPostingList", self.bytes);
        std::iter::from_fn(move || PostingList::read(&mut cursor).ok())
    }
}

/// Serialized as a sequence.
impl Serialize for PostingLists<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// `ginxlogRecompressDataLeaf`: what is done to the posting lists (segments) of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recompression<'a> {
    /// How many actions the record says that it has.
    pub action_count: u16,
    bytes: &'a [u8],
}

/// An action on one posting list of a leaf (`ginxlogSegmentAction`).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SegmentAction<'a> {
    /// Number of the posting list on its page.
    pub segment: u8,
    /// What is done to it.
    #[serde(flatten)]
    pub action: Action<'a>,
}

/// What is done to a posting list.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action<'a> {
    /// It is removed.
    Delete,
    /// A new one is put before it.
    Insert {
        /// The new one.
        items: PostingList<'a>,
    },
    /// It is replaced.
    Replace {
        /// The new one.
        items: PostingList<'a>,
    },
    /// Positions are added to it.
    AddItems {
        /// The positions.
        items: Array<'a, Tid>,
    },
    /// None that PostgreSQL knows; what follows cannot be read.
    Unknown {
        /// Its number.
        number: u8,
    },
}

impl<'a> Recompression<'a> {
    pub(super) fn read(data: &'a [u8]) -> Result<Recompression<'a>, PayloadError> {
        let mut cursor = Cursor::new("ginxlogRecompressDataLeaf", data);
        let action_count = cursor.u16()?;
        let bytes = cursor.rest();
        for _ in 0..action_count {
            let segment_action = segment_action(&mut cursor)?;
            if matches!(segment_action.action, Action::Unknown { .. }) {
                break;
            }
        }
        Ok(Recompression { action_count, bytes })
    }

    /// The actions in order, up to the first that is unknown.
    pub fn actions(&self) -> impl Iterator<Item = SegmentAction<'a>> + use<'a> {
        let mut cursor = Cursor::new("ginxlogRecompressDataLeaf", self.bytes);
        let mut left = self.action_count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let segment_action = segment_action(&mut cursor).ok()?;
            if matches!(segment_action.action, Action::Unknown { .. }) {
                left = 0;
            }
            Some(segment_action)
        })
    }
}

fn segment_action<'a>(cursor: &mut Cursor<'a>) -> Result<SegmentAction<'a>, PayloadError> {
    let segment = cursor.u8()?;
    let action = match cursor.u8()? {
        1 => Action::Delete,
        2 => Action::Insert { items: PostingList::read(cursor)? },
        3 => Action::Replace { items: PostingList::read(cursor)? },
        4 => {
            let count = usize::from(cursor.u16()?);
            Action::AddItems { items: cursor.array(count)? }
        }
        number => Action::Unknown { number },
    };
    Ok(SegmentAction { segment, action })
}

/// Serialized as the sequence of its actions.
impl Serialize for Recompression<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.actions())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(items: &[Tid]) -> Vec<u8> {
        let number = |tid: Tid| u64::from(tid.block) << OFFSET_BITS | u64::from(tid.offset);
        let mut distances = Vec::new();
        for pair in items.windows(2) {
            let mut rest = number(pair[1]) - number(pair[0]);
            while rest > 0x7F {
                distances.push(0x80 | rest as u8);
                rest >>= 7;
            }
            distances.push(rest as u8);
        }
        let first = items[0];
        let mut bytes = Vec::new();
        for half in [(first.block >> 16) as u16, first.block as u16, first.offset] {
            bytes.extend_from_slice(&half.to_le_bytes());
        }
        bytes.extend_from_slice(&(distances.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&distances);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    }

    fn any_items() -> impl Strategy<Value = Vec<Tid>> {
        let tid = (any::<u32>(), 1u16..1 << OFFSET_BITS);
        proptest::collection::btree_set(tid, 1..50).prop_map(|items| {
            items.into_iter().map(|(block, offset)| Tid { block, offset }).collect()
        })
    }

    proptest! {
        #[test]
        fn positions_round_trip(one in any_items(), other in any_items()) {
            let bytes = [encode(&one), encode(&other)].concat();
            let lists = PostingLists::read(&bytes).expect("complete");
            let read: Vec<Vec<Tid>> = lists.iter().map(|list| list.items().collect()).collect();
            prop_assert_eq!(read, vec![one, other]);
            prop_assert!(PostingLists::read(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(lists) = PostingLists::read(&bytes) {
                lists.iter().for_each(|list| { list.items().count(); });
            }
            if let Ok(recompression) = Recompression::read(&bytes) {
                let count = recompression.actions().count();
                prop_assert!(count <= usize::from(recompression.action_count));
            }
        }
    }
}
