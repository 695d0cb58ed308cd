//! Pages of btrees in the words of pageinspect: fields as its functions give them, nothing for nulls, `t` and `f` for truth.

use base::page::PageBytes;
use base::{OffsetNumber, Tid};
use engine::btree::{MetaPage, Node, NodeFlags, Opaque};

/// The fields of `bt_metap`, but for the version of its format behind them.
pub(crate) fn metap(bytes: &PageBytes) -> Vec<String> {
    let MetaPage { metadata, heap_tuples } = MetaPage::read(bytes).expect("a metapage");
    let numbers = [
        0x0005_3162,
        metadata.version,
        metadata.root,
        metadata.level,
        metadata.fast_root,
        metadata.fast_level,
        metadata.last_cleanup_deleted_pages,
    ];
    let mut fields: Vec<_> = numbers.map(|number| number.to_string()).into();
    fields.push(heap_tuples.to_string());
    fields.push(truth(metadata.all_equal_image).to_owned());
    fields
}

fn truth(is: bool) -> &'static str {
    if is { "t" } else { "f" }
}

/// `type` of `bt_page_stats`.
pub(crate) fn kind(opaque: &Opaque) -> &'static str {
    let flags = opaque.flags;
    match () {
        () if flags.contains(NodeFlags::DELETED) && opaque.is_leaf() => "d",
        () if flags.contains(NodeFlags::DELETED) => "D",
        () if opaque.is_ignored() => "e",
        () if opaque.is_leaf() => "l",
        () if flags.contains(NodeFlags::ROOT) => "r",
        () => "i",
    }
}

/// The fields of `bt_page_stats` behind the block. Of a deleted page pageinspect takes what is there for line pointers: its
/// `free_size` is not told.
pub(crate) fn page_stats(bytes: &PageBytes) -> Vec<String> {
    let opaque = Opaque::of(bytes).expect("a page of a btree");
    let (mut live, mut dead, mut size, mut free) = (0, 0, 0, String::new());
    if !opaque.flags.contains(NodeFlags::DELETED) {
        let node = Node::read(bytes).expect("a page of the tree");
        for offset in 1..=node.last() {
            size += node.entry(offset).expect("an entry").size();
            if node.is_dead(offset) { dead += 1 } else { live += 1 }
        }
        free = node.page().free_space().to_string();
    }
    let average = size.checked_div(live + dead).unwrap_or(0);
    let mut fields = vec![kind(&opaque).to_owned()];
    fields.extend([live, dead, average, 8192].map(|number: usize| number.to_string()));
    fields.push(free);
    let links = [opaque.prev, opaque.next, opaque.level, u32::from(opaque.flags.bits())];
    fields.extend(links.map(|number| number.to_string()));
    fields
}

fn tid_text(tid: Option<Tid>) -> String {
    tid.map(|tid| tid.to_string()).unwrap_or_default()
}

/// The fields of `bt_page_items` behind the line pointer.
pub(crate) fn page_item(node: &Node<'_>, offset: OffsetNumber) -> Vec<String> {
    let entry = node.entry(offset).expect("an entry");
    let raw = Tid::from_bytes(*entry.bytes().first_chunk().expect("a header"));
    let data = &entry.bytes()[entry.data_start()..entry.data_end()];
    let data: Vec<_> = data.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_pivot = !node.opaque.is_leaf() || offset < node.opaque.first_data();
    assert_eq!(entry.is_pivot(), is_pivot);
    let dead = if is_pivot { "" } else { truth(node.is_dead(offset)) };
    let tids: Vec<_> = entry.tids().map(|tid| format!("\"{tid}\"")).collect();
    let tids = if entry.is_posting() { format!("{{{}}}", tids.join(",")) } else { String::new() };
    vec![
        raw.to_string(),
        entry.size().to_string(),
        truth(entry.has_nulls()).to_owned(),
        truth(entry.has_variable_width()).to_owned(),
        data.join(" "),
        dead.to_owned(),
        tid_text(entry.heap_tid()),
        tids,
    ]
}
