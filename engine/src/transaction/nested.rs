//! Commands within a command, as those of a function that an SQL statement calls.
//!
//! ```text
//! begin_command      snapshot at command n
//!   begin_nested       the outer one's snapshot and number are put aside; what comes sees what the outer one changed so far
//!     begin_command .. end_command    n + 1, n + 2, ...
//!   end_nested         the outer one goes on at n, and sees nothing of what the inner ones changed
//! end_command        the next command's number is above all of them
//! ```
//!
//! Invariant: numbers are never used twice. Source: `CommandCounterIncrement`, `spi.c`.

use base::CommandId;

use super::Transaction;
use crate::Error;
use crate::session::Isolation;
use crate::xact::mode::ModeSnapshot;

/// A command that waits for those within it.
#[derive(Debug)]
pub struct OuterCommand<'e> {
    snapshot: Option<ModeSnapshot<'e>>,
    command: CommandId,
}

impl<'e> Transaction<'_, 'e> {
    /// Puts the command that runs aside, for others within it.
    ///
    /// # Errors
    /// After an error, as [`Transaction::begin_command`].
    pub fn begin_nested(&mut self) -> Result<OuterCommand<'e>, Error> {
        self.check()?;
        let snapshot = match self.isolation {
            // Each command within takes one of its own.
            Isolation::ReadCommitted => self.session.snapshot.take(),
            Isolation::RepeatableRead => self.session.snapshot.clone(),
        };
        let outer = OuterCommand { snapshot, command: self.command };
        self.command = self.command.max(self.highest) + 1;
        self.is_in_command = false;
        self.outer_commands += 1;
        Ok(outer)
    }

    /// Goes on with the command that was put aside.
    pub fn end_nested(&mut self, outer: OuterCommand<'e>) {
        self.highest = self.highest.max(self.command);
        self.session.snapshot = outer.snapshot;
        self.command = outer.command;
        self.is_in_command = true;
        self.outer_commands -= 1;
    }
}
