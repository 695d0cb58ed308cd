//! One statement within a transaction.
//!
//! Invariants: in a failed block nothing is done but what ends it or goes back to a savepoint. A client is told of rows once
//! their transaction is committed, if it ends with the statement.

use engine::WaitPolicy;

use super::transaction::{Block, Savepoint};
use super::{Backend, Response, needs_block};
use crate::error::{Result, SqlError, aborted};
use crate::parse::Statement;

impl<'e> Backend<'_, 'e> {
    /// One statement within a transaction; whether it ended it.
    pub(super) fn step(&mut self, block: &mut Block<'_, 'e>, statement: Statement) -> Result<bool> {
        if block.has_failed
            && !matches!(
                statement,
                Statement::Commit { .. }
                    | Statement::Prepare(_)
                    | Statement::Rollback { .. }
                    | Statement::RollbackTo(_)
            )
        {
            return Err(aborted());
        }
        match statement {
            Statement::Begin(tag, modes) => {
                if block.is_explicit {
                    let message = "there is already a transaction in progress".to_owned();
                    self.notice("WARNING", "25001", message);
                }
                block.is_explicit = true;
                self.set_modes(block, modes)?;
                self.done(tag);
            }
            Statement::SetTransaction(modes) => {
                if !block.is_explicit {
                    self.notice("WARNING", "25P01", needs_block("SET TRANSACTION"));
                }
                self.set_modes(block, modes)?;
                self.done("SET");
            }
            Statement::SetSnapshot(id) => {
                if !block.is_explicit {
                    self.notice("WARNING", "25P01", needs_block("SET TRANSACTION"));
                }
                block.running()?.import_snapshot(&id)?;
                self.done("SET");
            }
            Statement::SetCharacteristics(modes) => {
                if let Some(isolation) = modes.isolation {
                    self.state.settings.default_isolation = isolation;
                }
                if let Some(read_only) = modes.read_only {
                    self.state.settings.default_read_only = read_only;
                }
                self.done("SET");
            }
            Statement::Commit { chain } | Statement::Rollback { chain }
                if chain && !block.is_explicit =>
            {
                let tag = if matches!(statement, Statement::Commit { .. }) {
                    "COMMIT"
                } else {
                    "ROLLBACK"
                };
                return Err(SqlError::new("25P01", needs_block(&format!("{tag} AND CHAIN"))));
            }
            Statement::Commit { chain } => {
                self.chained(chain);
                let committed = self.end_checked(block)?;
                self.done(if committed { "COMMIT" } else { "ROLLBACK" });
                return Ok(true);
            }
            Statement::Prepare(gid) => {
                if !block.is_explicit {
                    self.no_transaction();
                }
                let prepared = self.prepare_checked(block, &gid)?;
                self.done(if prepared { "PREPARE TRANSACTION" } else { "ROLLBACK" });
                return Ok(true);
            }
            Statement::Finish { commits, .. } => {
                let what = if commits { "COMMIT PREPARED" } else { "ROLLBACK PREPARED" };
                let message = format!("{what} cannot run inside a transaction block");
                return Err(SqlError::new("25001", message));
            }
            Statement::Rollback { chain } => {
                self.chained(chain);
                if !block.is_explicit {
                    self.no_transaction();
                }
                self.end(block, false);
                self.done("ROLLBACK");
                return Ok(true);
            }
            Statement::Savepoint(name) => {
                if !block.is_explicit {
                    return Err(SqlError::new("25P01", needs_block("SAVEPOINT")));
                }
                let id = block.running()?.savepoint();
                let (id, settings, locals) = (id?, self.state.settings.clone(), block.local.len());
                let deferred = self.deferred.len();
                block.savepoints.push(Savepoint { name, id, settings, locals, deferred });
                self.done("SAVEPOINT");
            }
            Statement::RollbackTo(name) => {
                let (at, id) = block.savepoint(&name)?;
                block.running()?.rollback_to(id)?;
                block.savepoints.truncate(at + 1);
                // What was set since then is undone, too.
                let savepoint = &block.savepoints[at];
                self.state.settings = savepoint.settings.clone();
                self.deferred.truncate(savepoint.deferred);
                let locals = savepoint.locals;
                block.local.truncate(locals);
                self.state.settings.apply(block.running()?);
                block.has_failed = false;
                self.done("ROLLBACK");
            }
            Statement::Release(name) => {
                let (at, id) = block.savepoint(&name)?;
                block.running()?.release(id)?;
                block.savepoints.truncate(at);
                self.done("RELEASE");
            }
            Statement::Set { name, value, is_local } => {
                if is_local && !block.is_explicit {
                    self.notice("WARNING", "25P01", needs_block("SET LOCAL"));
                }
                if is_local {
                    let before = self.state.settings.show(&name)?;
                    block.local.push((name.clone(), before));
                }
                self.state.settings.set(&name, value.as_deref())?;
                self.state.settings.apply(block.running()?);
                self.done("SET");
            }
            Statement::Reset(name) => {
                self.state.settings.set(&name, None)?;
                self.state.settings.apply(block.running()?);
                self.done("RESET");
            }
            Statement::Show(name) => {
                let value = self.state.settings.show(&name)?;
                let rows = vec![vec![Some(value)]];
                self.client.respond(Response::Rows {
                    columns: vec![name],
                    rows,
                    tag: "SHOW".to_owned(),
                });
            }
            Statement::Lock { tables, mode, no_wait } => {
                let policy = if no_wait { WaitPolicy::NoWait } else { WaitPolicy::Wait };
                let transaction = block.running()?;
                transaction.begin_time();
                for (table, only) in &tables {
                    transaction.open_table(table, mode, policy)?;
                    if !only {
                        for child in self.database.descendants(transaction, table)? {
                            transaction.open_table(child.name(), mode, policy)?;
                        }
                    }
                }
                self.done("LOCK TABLE");
            }
            Statement::Vacuum(analyze) if !analyze.vacuums => {
                for notice in analyze.run_within(self.database, block.running()?)? {
                    self.client.respond(Response::Notice(notice));
                }
                self.done(analyze.verb());
            }
            Statement::Vacuum(_) => {
                let message = "VACUUM cannot run inside a transaction block";
                return Err(SqlError::new("25001", message));
            }
            Statement::CreateFunction(routine) => {
                self.refuse_read_only("CREATE FUNCTION")?;
                block.is_used = true;
                let created = routine.create(block.running()?);
                self.warn_of_limits(block);
                created?;
                self.done("CREATE FUNCTION");
            }
            Statement::DropFunction(named) => {
                self.refuse_read_only("DROP FUNCTION")?;
                block.is_used = true;
                for named in named {
                    if !named.drop_from(block.running()?)? {
                        let message = format!("{} does not exist, skipping", named.shown());
                        self.notice("NOTICE", "00000", message);
                    }
                }
                self.done("DROP FUNCTION");
            }
            Statement::Checkpoint => {
                self.database.engine.checkpoint()?;
                self.done("CHECKPOINT");
            }
            Statement::Sql(statement) => {
                block.is_used = true;
                let transaction = block.running()?;
                let answer = self.execute(transaction, &statement);
                self.warn_of_limits(block);
                let answer = answer?;
                // What is not committed has not happened: a client is told of rows once that is known.
                if !block.is_explicit && self.queue.is_empty() {
                    self.end_checked(block)?;
                    self.client.respond(answer.response());
                    return Ok(true);
                }
                self.client.respond(answer.response());
            }
        }
        Ok(false)
    }
}
