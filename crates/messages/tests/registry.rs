//! The registry agrees with itself, and `docs/wire/messages.md` agrees with it.

use std::fmt::Write as _;
use std::path::Path;

use seabed_cluster::feature;
use seabed_messages::{MMonGetVersion, Message, MessageError, registry::ROWS};

#[test]
fn ids_rise_and_versions_are_in_order() {
    assert!(ROWS.windows(2).all(|w| w[0].id < w[1].id));
    for row in ROWS {
        assert!(row.compat <= row.version && row.oldest <= row.version, "{row:?}");
        let chapter = format!("src/{}.rs", row.chapter);
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&chapter));
        let text = text.unwrap_or_else(|e| panic!("{chapter}: {e}"));
        assert!(text.contains(&format!("pub struct {} ", row.type_name)), "{row:?}");
    }
}

fn page() -> String {
    let mut out = String::from(
        "# Messages\n\n\
         Generated from `crates/messages/src/registry.rs`; rewrite with \
         `UPDATE_DOCS=1 cargo test -p seabed-messages --test registry`.\n\n\
         Version is what is written and the newest that is known; compat is the compat version \
         written; oldest is the oldest version that is read. A message of a newer version is read \
         as far as it is known, and what follows is kept. The layout of each stands at the head \
         of its chapter, a file of `crates/messages/src/`.\n\n\
         | id | name | type | version | compat | oldest | priority | from | to | chapter |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for r in ROWS {
        let id = if r.id >= 0x700 { format!("{:#x}", r.id) } else { r.id.to_string() };
        writeln!(
            out,
            "| {id} | {} | `{}` | {} | {} | {} | {} | {} | {} | {} |",
            r.name, r.type_name, r.version, r.compat, r.oldest, r.priority, r.from, r.to, r.chapter
        )
        .expect("a String takes all");
    }
    out
}

#[test]
fn the_page_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire/messages.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("docs/wire");
        std::fs::write(&path, page()).expect("docs/wire/messages.md");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page(), "{} is stale: run with UPDATE_DOCS=1", path.display());
}

#[test]
fn the_kernels_client_leaves_the_version_of_a_first_layout_at_zero() {
    let asked = MMonGetVersion { handle: 7, what: "osdmap".to_owned(), ..Default::default() };
    let mut raw = Message::from(asked.clone()).encode(feature::PACIFIC_ALL);
    raw.header.version = 0;
    assert_eq!(Message::decode(raw.clone()).unwrap(), Message::from(asked));
    raw.header.kind = 42;
    let refused = Message::decode(raw).unwrap_err();
    assert!(matches!(refused, MessageError::TooOld { kind: 42, version: 1, .. }), "{refused}");
}
