//! `MERGE`: for each row of the source, joined with the table's row that matches it or with none, what the first `WHEN`
//! says whose condition holds.
//!
//! ```text
//! matched      WHEN MATCHED, from the first ─► updated, deleted or left alone
//!              somebody else's newer version ─► it still matches: from the first again; it does not: not matched
//!              deleted by somebody else      ─► not matched
//! not matched  WHEN NOT MATCHED, from the first ─► a row inserted, or nothing
//! ```
//!
//! Invariant: a row of the table is changed by one row of the source at most. Sources: `ExecMergeMatched`,
//! `ExecMergeNotMatched`.

use engine::VersionChange;

use super::change::Making;
use super::cursor::evaluated;
use super::{Exec, Row};
use crate::error::{Result, SqlError};
use crate::expr::Rows;
use crate::plan::{MergeAction, When};
use crate::types::Datum;

impl Making<'_> {
    pub(super) fn merge(
        &mut self,
        mut row: Row,
        whens: &[When],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<()> {
        if self.merge_matched(&mut row, whens, exec, outer)? {
            return Ok(());
        }
        match first(whens, false, &row, exec, outer)? {
            Some(MergeAction::Insert(values)) => {
                let new = evaluated(values, &row, exec, outer)?;
                self.insert(new, None, exec, outer)
            }
            _ => Ok(()),
        }
    }

    /// Does what is to be done about the table's row; false if there is none, or none that matches any more.
    fn merge_matched(
        &mut self,
        row: &mut Row,
        whens: &[When],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<bool> {
        let place =
            |row: &[Datum], making: &Self| making.change.family.whose(row, making.change.base);
        let Some((at, tid)) = place(row, self) else { return Ok(false) };
        let found = (self.change.family.members[at].def.table.oid(), tid);
        while place(row, self).is_some() {
            let changed = match first(whens, true, row, exec, outer)? {
                Some(MergeAction::Update(_) | MergeAction::Delete)
                    if self.touched.contains(&found) =>
                {
                    let message = "MERGE command cannot affect row a second time";
                    let hint =
                        "Ensure that not more than one source row matches any one target row.";
                    return Err(SqlError::new("21000", message).hint(hint));
                }
                Some(MergeAction::Update(sets)) => self.update_once(row, sets, exec, outer),
                Some(MergeAction::Delete) => self.delete_once(row, exec),
                Some(MergeAction::Insert(_) | MergeAction::Nothing) | None => return Ok(true),
            };
            match changed.map_err(of_merge)? {
                VersionChange::Changed { .. } => {
                    self.touched.insert(found);
                    self.return_row(row, exec, outer)?;
                    return Ok(true);
                }
                VersionChange::Gone => return Ok(false),
                VersionChange::Newer(newer) => {
                    if !self.follow(&newer, row, exec, outer)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(false)
    }
}

/// What the first `WHEN` says that is for a row, matched or not.
fn first<'w>(
    whens: &'w [When],
    is_matched: bool,
    row: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<Option<&'w MergeAction>> {
    for when in whens.iter().filter(|when| when.is_matched == is_matched) {
        let holds = match &when.condition {
            Some(condition) => condition.is_true(exec, &Rows { row, outer })?,
            None => true,
        };
        if holds {
            return Ok(Some(&when.action));
        }
    }
    Ok(None)
}

/// The error of a row that a function has changed meanwhile, in a `MERGE`'s words.
fn of_merge(error: SqlError) -> SqlError {
    match error.code {
        "27000" => {
            let message = error
                .message
                .replace("tuple to be updated was", "tuple to be updated or deleted was");
            SqlError { message, ..error }
        }
        _ => error,
    }
}
