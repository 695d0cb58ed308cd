//! Files that are not whole: told with the place and the cause, whatever was done to them.

use history::{Block, HistoryError, Level, Reader, Replaced, Transaction, Workload, Writer};

use super::{append, failed, header, list, read, run, write};

fn transactions() -> Vec<Transaction> {
    let mut all = Vec::new();
    for number in 0..40 {
        let key = u64::from(number % 3);
        all.push(run(
            number % 4,
            10,
            20 + u64::from(number),
            &[append(key, 300), list(key, &[1, 300])],
        ));
        all.push(failed(1, 5, 7, &[write(key, 1 << 40, Replaced::Value(7)), read(key, None)]));
    }
    all
}

/// A history in several blocks.
fn file() -> Vec<u8> {
    let header = header(Workload::ListAppend, Level::RepeatableRead);
    let mut writer = Writer::new(Vec::new(), &header).expect("a header");
    for some in transactions().chunks(9) {
        let mut block = Block::default();
        some.iter().try_for_each(|transaction| block.push(transaction)).expect("room");
        writer.write(&mut block).expect("a block");
    }
    writer.finish().expect("an end")
}

fn read_all(bytes: &[u8]) -> Result<Vec<Transaction>, HistoryError> {
    Reader::new(bytes)?.collect()
}

#[test]
fn what_was_written_is_read() {
    let bytes = file();
    let reader = Reader::new(&bytes[..]).expect("a header");
    assert_eq!(*reader.header(), header(Workload::ListAppend, Level::RepeatableRead));
    assert_eq!(read_all(&bytes).expect("a whole history"), transactions());
}

#[test]
fn a_history_that_was_cut_off_is_told_from_a_whole_one() {
    let bytes = file();
    for length in 0..bytes.len() {
        match read_all(&bytes[..length]) {
            Err(HistoryError::NotAHistory) => assert!(length < 20, "{length}"),
            Err(HistoryError::Damaged { position, .. }) => assert_eq!(position, length as u64),
            other => panic!("{length} bytes: {other:?}"),
        }
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let bytes = file();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            assert!(read_all(&damaged).is_err(), "bit {bit} of byte {place}");
        }
    }
}

#[test]
fn errors_say_where_and_why() {
    let bytes = file();
    let error = |bytes: &[u8]| read_all(bytes).expect_err("damage").to_string();
    assert_eq!(
        error(b"PGCOPY and something else"),
        "this is no recorded history (it does not begin with \"PGSTHIST\", nor as EDN does with '[', '{' or ';')"
    );
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert_eq!(
        error(&newer),
        "the history is of version 9, and this program reads version 1 (take the program that wrote it)"
    );
    let mut more = bytes.clone();
    more.push(0);
    let behind = format!(
        "the history is damaged at byte {}: bytes behind the end (record it again)",
        bytes.len()
    );
    assert_eq!(error(&more), behind);
    let cut = &bytes[..bytes.len() - 1];
    let missing = format!(
        "the history is damaged at byte {}: it ends here, and 1 bytes are missing (record it again)",
        cut.len()
    );
    assert_eq!(error(cut), missing);
}

#[test]
fn a_length_that_is_claimed_is_not_allocated() {
    let mut bytes = file();
    // The first block's length, behind the header's 20 bytes and itself.
    let header = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
    bytes[20 + header..24 + header].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = read_all(&bytes).expect_err("damage").to_string();
    assert!(error.contains("a block of 4294967295 bytes"), "{error}");
}
