//! Histories in files.
//!
//! ```text
//! magic "PGSTHIST" (8)  version (4)  length (4)  checksum (4)  header, in bincode
//! block   length (4, not 0)  transactions (4)  checksum of both and of the content (4)  content: transactions, in bincode
//!   ...
//! end     0 (4)  0 (4)  checksum (4)  transactions in all (8)
//! ```
//!
//! Numbers are little-endian, checksums CRC-32C, bincode is version 2's standard configuration. Blocks come as sessions
//! fill them: transactions of one session are in order, those of several are not.
//!
//! Invariants: a file that was cut off anywhere is told from a whole one. Nothing is allocated that a length merely claims
//! beyond [`LARGEST_BLOCK`].

use std::io::{self, Read, Write};

use bincode::config::{Configuration, standard};

use crate::model::{Header, Transaction};

const MAGIC: &[u8; 8] = b"PGSTHIST";
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Bytes that a block has at most.
pub const LARGEST_BLOCK: usize = 64 << 20;
/// Bytes from which on a block is to be written.
pub const FULL_BLOCK: usize = 256 << 10;

type Limited = Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<LARGEST_BLOCK>,
>;

fn configuration() -> Limited {
    standard().with_limit::<LARGEST_BLOCK>()
}

/// Why a history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The operating system says so.
    #[error("could not {action} the history: {error}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// What it says.
        #[source]
        error: io::Error,
    },
    /// Something else.
    #[error(
        "this is no recorded history (it does not begin with \"PGSTHIST\", nor as EDN does with '[', '{{' or ';')"
    )]
    NotAHistory,
    /// One that a newer program wrote.
    #[error(
        "the history is of version {found}, and this program reads version {VERSION} (take the program that wrote it)"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// Bytes that nobody wrote so.
    #[error("the history is damaged at byte {position}: {cause} (record it again)")]
    Damaged {
        /// Where what cannot be read begins.
        position: u64,
        /// Why it cannot.
        cause: String,
    },
    /// A transaction too large for a block.
    #[error("a transaction of {bytes} bytes has no room in a history")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

fn at(action: &'static str) -> impl Fn(io::Error) -> HistoryError {
    move |error| HistoryError::Io { action, error }
}

/// Transactions that are to be written at once; each session fills its own.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    transactions: u32,
}

impl Block {
    /// Adds one.
    ///
    /// # Errors
    /// [`HistoryError::TooLarge`], which leaves the block as it was.
    pub fn push(&mut self, transaction: &Transaction) -> Result<(), HistoryError> {
        let before = self.bytes.len();
        let pushed = bincode::encode_into_std_write(transaction, &mut self.bytes, standard());
        let bytes = self.bytes.len() - before;
        if pushed.is_err() || self.bytes.len() > LARGEST_BLOCK {
            self.bytes.truncate(before);
            return Err(HistoryError::TooLarge { bytes });
        }
        self.transactions += 1;
        Ok(())
    }

    /// Whether it is to be written before the next is added.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BLOCK
    }
}

/// Writes a history.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    transactions: u64,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn new(mut out: W, header: &Header) -> Result<Writer<W>, HistoryError> {
        let header = bincode::encode_to_vec(header, standard()).map_err(|error| {
            HistoryError::Io { action: "write", error: io::Error::other(error) }
        })?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        bytes.extend_from_slice(&header);
        out.write_all(&bytes).map_err(at("write"))?;
        Ok(Writer { out, transactions: 0 })
    }

    /// Writes a block and empties it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&mut self, block: &mut Block) -> Result<(), HistoryError> {
        if block.transactions == 0 {
            return Ok(());
        }
        self.frame(block.bytes.len() as u32, block.transactions, &block.bytes)?;
        self.transactions += u64::from(block.transactions);
        block.bytes.clear();
        block.transactions = 0;
        Ok(())
    }

    fn frame(&mut self, length: u32, count: u32, content: &[u8]) -> Result<(), HistoryError> {
        let mut head = length.to_le_bytes().to_vec();
        head.extend_from_slice(&count.to_le_bytes());
        let sum = crc32c::crc32c_append(crc32c::crc32c(&head), content);
        head.extend_from_slice(&sum.to_le_bytes());
        self.out.write_all(&head).map_err(at("write"))?;
        self.out.write_all(content).map_err(at("write"))
    }

    /// Says that this was all.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self) -> Result<W, HistoryError> {
        let total = self.transactions.to_le_bytes();
        self.frame(0, 0, &total)?;
        self.out.flush().map_err(at("write"))?;
        Ok(self.out)
    }
}

/// Reads a history, transaction by transaction.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    header: Header,
    /// Where the next byte of the file lies that has not been read.
    position: u64,
    block: Vec<u8>,
    /// Where the block's content begins in the file, what of it was used, and transactions that are left in it.
    block_at: u64,
    used: usize,
    left: u32,
    read: u64,
    is_over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// Where this is no history, one of another version, or a damaged one.
    pub fn new(mut from: R) -> Result<Reader<R>, HistoryError> {
        let mut position = 0;
        let mut head = [0; 20];
        let filled = fill(&mut from, &mut position, &mut head);
        filled.map_err(|error| match error {
            HistoryError::Damaged { .. } => HistoryError::NotAHistory,
            other => other,
        })?;
        if &head[..8] != MAGIC {
            return Err(HistoryError::NotAHistory);
        }
        let version = number(&head[8..]);
        if version != VERSION {
            return Err(HistoryError::Version { found: version });
        }
        let (length, sum) = (number(&head[12..]) as usize, number(&head[16..]));
        if length > 1 << 16 {
            return Err(damaged(12, format!("a header of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        fill(&mut from, &mut position, &mut bytes)?;
        if crc32c::crc32c(&bytes) != sum {
            return Err(damaged(20, "the header's checksum does not match".to_owned()));
        }
        let (header, used) = bincode::decode_from_slice(&bytes, configuration())
            .map_err(|error| damaged(20, error.to_string()))?;
        if used != length {
            return Err(damaged(20 + used as u64, "bytes behind the header".to_owned()));
        }
        Ok(Reader {
            from,
            header,
            position,
            block: Vec::new(),
            block_at: 0,
            used: 0,
            left: 0,
            read: 0,
            is_over: false,
        })
    }

    /// What the history is of.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn next_block(&mut self) -> Result<(), HistoryError> {
        let begins = self.position;
        let mut head = [0; 12];
        fill(&mut self.from, &mut self.position, &mut head)?;
        let (length, count, sum) = (number(&head) as usize, number(&head[4..]), number(&head[8..]));
        let is_end = length == 0;
        let length = if is_end { 8 } else { length };
        if length > LARGEST_BLOCK {
            return Err(damaged(begins, format!("a block of {length} bytes")));
        }
        self.block_at = self.position;
        self.block.resize(length, 0);
        fill(&mut self.from, &mut self.position, &mut self.block)?;
        if crc32c::crc32c_append(crc32c::crc32c(&head[..8]), &self.block) != sum {
            return Err(damaged(begins, "the block's checksum does not match".to_owned()));
        }
        if is_end {
            let total = self.block.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            if total != self.read {
                let cause =
                    format!("{total} transactions were recorded, and {} are here", self.read);
                return Err(damaged(begins, cause));
            }
            let mut more = [0];
            if self.from.read(&mut more).map_err(at("read"))? > 0 {
                return Err(damaged(self.position, "bytes behind the end".to_owned()));
            }
            self.is_over = true;
        }
        (self.used, self.left) = (0, count);
        Ok(())
    }

    fn next_transaction(&mut self) -> Result<Option<Transaction>, HistoryError> {
        while self.left == 0 && !self.is_over {
            let left = self.block.len() - self.used;
            if left > 0 {
                let cause = format!("{left} bytes behind a block's last transaction");
                return Err(damaged(self.block_at + self.used as u64, cause));
            }
            self.next_block()?;
        }
        if self.is_over {
            return Ok(None);
        }
        let decoded = bincode::decode_from_slice(&self.block[self.used..], configuration());
        let (transaction, used): (Transaction, usize) = decoded
            .map_err(|error| damaged(self.block_at + self.used as u64, error.to_string()))?;
        self.used += used;
        self.left -= 1;
        self.read += 1;
        Ok(Some(transaction))
    }
}

/// Reads as many bytes as have room there.
fn fill(from: &mut impl Read, position: &mut u64, into: &mut [u8]) -> Result<(), HistoryError> {
    let mut got = 0;
    while got < into.len() {
        match from.read(&mut into[got..]) {
            Ok(0) => {
                let lacks = into.len() - got;
                let cause = format!("it ends here, and {lacks} bytes are missing");
                return Err(damaged(*position + got as u64, cause));
            }
            Ok(some) => got += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(at("read")(error)),
        }
    }
    *position += got as u64;
    Ok(())
}

/// Ends with the first error.
impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Transaction, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_transaction().transpose();
        if matches!(next, Some(Err(_))) {
            self.is_over = true;
            self.left = 0;
        }
        next
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes[..4].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn damaged(position: u64, cause: String) -> HistoryError {
    HistoryError::Damaged { position, cause }
}
