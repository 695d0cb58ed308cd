//! Prepared transactions in FROM: the view `pg_prepared_xacts`, and the function `pg_prepared_xact()` below it.
//!
//! Invariant: one that is about to end is still told of. Names and numbers of owner and database are those of the one user
//! and the one database that there are. Source: `pg_prepared_xact`, `system_views.sql`.

use engine::PreparedTransaction;
use sqlparser::ast::TableAlias;

use super::from::rename;
use super::{Analyzer, EntryKind};
use crate::error::Result;
use crate::plan::Plan;
use crate::table::ident;
use crate::types::{Datum, Type};

pub(crate) const PREPARED_XACTS: &str = "pg_prepared_xacts";
pub(super) const FUNCTION: &str = "pg_prepared_xact";
/// The first superuser, and what a server calls him.
const OWNER: (u32, &str) = (10, "postgres");
/// The number of the database, and its name.
const DATABASE: (u32, &str) = (5, "postgres");

impl Analyzer<'_, '_, '_> {
    /// The view, or the function.
    pub(super) fn prepared_transactions(
        &mut self,
        is_view: bool,
        alias: Option<&TableAlias>,
    ) -> Result<Plan> {
        let (name, of, owner, database) = match is_view {
            true => (PREPARED_XACTS, Type::Text, "owner", "database"),
            false => (FUNCTION, Type::Oid, "ownerid", "dbid"),
        };
        let shown = alias.map_or_else(|| name.to_owned(), |alias| ident(&alias.name));
        self.check_alias(&shown)?;
        let columns = [
            ("transaction", Type::Xid),
            ("gid", Type::Text),
            ("prepared", Type::TimestampTz),
            (owner, of),
            (database, of),
        ];
        let mut columns = columns.map(|(name, of)| (name.to_owned(), of)).to_vec();
        if let Some(alias) = alias {
            rename(&mut columns, alias)?;
        }
        self.level()?.add(shown, columns, None);
        self.mark(EntryKind::Function)?;
        Ok(Plan::Prepared { is_view })
    }
}

/// A prepared transaction as the view, or the function, shows it.
pub(crate) fn row(prepared: &PreparedTransaction, is_view: bool) -> Vec<Datum> {
    let PreparedTransaction { gid, xid, prepared_at } = prepared;
    let of = |(number, name): (u32, &str)| match is_view {
        true => Datum::Text(name.to_owned()),
        false => Datum::Oid(number),
    };
    vec![
        Datum::Oid(xid.0),
        Datum::Text(gid.clone()),
        Datum::TimestampTz(prepared_at.0),
        of(OWNER),
        of(DATABASE),
    ]
}
