//! Redo of relation files made and cut.
//!
//! Source: `smgr_redo`.

use base::{BlockNumber, ForkNumber, RelFileLocator};
use wal::record::Record;
use wal::rmgr::smgr::{Create, Smgr, Truncate};

use super::{Redo, RedoCause, visibility_map};
use crate::Error;
use crate::free_space_map::{FreeSpaceMap, Guard};

/// `SMGR_TRUNCATE_HEAP`, `_VM`, `_FSM`.
const HEAP: i32 = 1;
const VISIBILITY_MAP: i32 = 2;
const FREE_SPACE_MAP: i32 = 4;

pub(super) fn redo(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    payload: &Smgr,
) -> Result<(), RedoCause> {
    let files = redo.storage.pool.store();
    match *payload {
        Smgr::Create(Create { locator, fork }) => {
            let number = fork;
            let fork = u8::try_from(number).ok().and_then(ForkNumber::from_number);
            let fork = fork.ok_or_else(|| RedoCause::OutOfRange(format!("fork {number}")))?;
            files
                .create_if_missing(locator, fork)
                .map_err(|error| RedoCause::file("create", locator, fork, error))
        }
        Smgr::Truncate(Truncate { blocks, locator, flags }) => {
            redo.settle()?;
            // It may have been dropped later in the log, and is made again until then.
            files
                .create_if_missing(locator, ForkNumber::Main)
                .map_err(|error| RedoCause::file("create", locator, ForkNumber::Main, error))?;
            redo.before_irreversible(record.end())?;
            if flags & HEAP != 0 {
                cut(redo, locator, ForkNumber::Main, blocks)?;
                redo.tally.missing.cut_off(locator, ForkNumber::Main, blocks);
            }
            if flags & VISIBILITY_MAP != 0 {
                let map = ForkNumber::VisibilityMap;
                if let Some(pages) = visibility_map::prepare_cut(redo, locator, blocks)? {
                    cut(redo, locator, map, pages)?;
                }
            }
            if flags & FREE_SPACE_MAP != 0 {
                let map = FreeSpaceMap::of(redo.storage, locator);
                let pages = map.prepare_cut(blocks, &mut Guard::Nothing).map_err(Error::from)?;
                if let Some(pages) = pages {
                    cut(redo, locator, ForkNumber::FreeSpaceMap, pages)?;
                }
                let rest = blocks..BlockNumber::MAX;
                map.bring_up_to_date::<Error>(rest, &mut Guard::Nothing, &mut || Ok(()))?;
            }
            Ok(())
        }
    }
}

fn cut(
    redo: &mut Redo<'_>,
    locator: RelFileLocator,
    fork: ForkNumber,
    blocks: BlockNumber,
) -> Result<(), RedoCause> {
    let pool = &redo.storage.pool;
    let failed = |error| RedoCause::file("truncate", locator, fork, error);
    if !pool.store().exists(locator, fork).map_err(failed)? {
        return Ok(());
    }
    pool.forget(locator, fork, blocks).map_err(Error::from)?;
    pool.store().truncate(locator, fork, blocks).map_err(failed)
}
