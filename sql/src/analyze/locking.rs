//! `FOR UPDATE` and the other row locks: which relations' rows are locked, how strongly, and how patiently.
//!
//! Invariant: a relation is locked once, with the strongest that is asked for. Source: `transformLockingClause`.

use std::rc::Rc;

use sqlparser::ast;

use super::{Analyzer, EntryKind};
use crate::error::{Result, SqlError};
use crate::plan::{Patience, RowMark, Strength};
use crate::table::ident;

impl Analyzer<'_, '_, '_> {
    pub(super) fn row_marks(&mut self, query: &ast::Query) -> Result<Vec<RowMark>> {
        let mut marks: Vec<RowMark> = Vec::new();
        let entries = self.level()?.entries.clone();
        for lock in &query.locks {
            let names: Vec<String> = match &lock.of {
                Some(of) => of.0.iter().filter_map(|part| part.as_ident()).map(ident).collect(),
                None => Vec::new(),
            };
            let strength = names.first().and_then(|name| Strength::named(name));
            let strength = strength.ok_or_else(|| SqlError::not_supported(lock))?;
            let patience = match lock.nonblock {
                None => Patience::Wait,
                Some(ast::NonBlock::Nowait) => Patience::Fail,
                Some(ast::NonBlock::SkipLocked) => Patience::Skip,
            };
            let named = &names[1..];
            for name in named {
                if !entries.iter().any(|entry| entry.alias == *name) {
                    let message = format!(
                        "relation \"{name}\" in {} clause not found in FROM clause",
                        strength.name()
                    );
                    return Err(SqlError::new("42P01", message));
                }
            }
            for entry in &entries {
                if !named.is_empty() && !named.contains(&entry.alias) {
                    continue;
                }
                let refused = match entry.kind {
                    _ if entry.is_nullable => Some("the nullable side of an outer join"),
                    _ if named.is_empty() => None,
                    EntryKind::Function => Some("a function"),
                    EntryKind::Cte => Some("a WITH query"),
                    EntryKind::Plain | EntryKind::Reading | EntryKind::New => None,
                };
                if let Some(what) = refused {
                    let message = format!("{} cannot be applied to {what}", strength.name());
                    return Err(SqlError::new("0A000", message));
                }
                if entry.kind == EntryKind::Reading {
                    let what = format!("{} of a query in FROM", strength.name());
                    return Err(SqlError::not_supported(what));
                }
                let Some(family) = &entry.family else { continue };
                match marks.iter_mut().find(|mark| mark.base == entry.base) {
                    Some(mark) => {
                        mark.strength = mark.strength.max(strength);
                        if patience != Patience::Wait {
                            mark.patience = patience;
                        }
                    }
                    None => marks.push(RowMark {
                        family: Rc::clone(family),
                        base: entry.base,
                        strength,
                        patience,
                    }),
                }
            }
        }
        Ok(marks)
    }
}
