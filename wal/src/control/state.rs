//! What a cluster's server was doing when it last wrote pg_control.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::codec::Field;

/// `DBState`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClusterState {
    /// Made by `initdb`, or not yet past its start.
    StartingUp = 0,
    /// Stopped in good order.
    ShutDown = 1,
    /// A standby stopped in good order.
    ShutDownInRecovery = 2,
    /// Writing the checkpoint before it stops.
    ShuttingDown = 3,
    /// Recovering from a crash.
    InCrashRecovery = 4,
    /// Recovering from an archive or following another server.
    InArchiveRecovery = 5,
    /// Running; or it was when it crashed.
    InProduction = 6,
}

impl ClusterState {
    /// As `pg_controldata` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            ClusterState::StartingUp => "starting up",
            ClusterState::ShutDown => "shut down",
            ClusterState::ShutDownInRecovery => "shut down in recovery",
            ClusterState::ShuttingDown => "shutting down",
            ClusterState::InCrashRecovery => "in crash recovery",
            ClusterState::InArchiveRecovery => "in archive recovery",
            ClusterState::InProduction => "in production",
        }
    }
}

/// A state as read; any number may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateNumber(pub u32);

impl StateNumber {
    /// The state, if the number is one's.
    pub const fn state(self) -> Option<ClusterState> {
        Some(match self.0 {
            0 => ClusterState::StartingUp,
            1 => ClusterState::ShutDown,
            2 => ClusterState::ShutDownInRecovery,
            3 => ClusterState::ShuttingDown,
            4 => ClusterState::InCrashRecovery,
            5 => ClusterState::InArchiveRecovery,
            6 => ClusterState::InProduction,
            _ => return None,
        })
    }
}

impl Field for StateNumber {
    fn read(bytes: &[u8]) -> StateNumber {
        StateNumber(Field::read(bytes))
    }

    fn write(self, bytes: &mut [u8]) {
        self.0.write(bytes);
    }
}

/// As `pg_controldata` prints it, also what it does not know.
impl fmt::Display for StateNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state().map_or("unrecognized status code", ClusterState::name))
    }
}

/// Serialized as the state's name, or as the number if it is none's.
impl Serialize for StateNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.state() {
            Some(state) => serializer.serialize_str(state.name()),
            None => serializer.serialize_u32(self.0),
        }
    }
}
