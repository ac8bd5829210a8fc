//! Whether a volume may be published to a node, given where it is published.

use crate::fault::Fault;
use crate::rules::capability::{Access, Capability};
use crate::state::record::{Publication, Volume};

/// The publication to write down; nothing if it is there.
pub(crate) fn plan(
    volume: &Volume,
    node: &str,
    capability: &Capability,
    readonly: bool,
) -> Result<Option<Publication>, Fault> {
    let wanted = Publication {
        mode: capability.mode,
        read_only: readonly || capability.mode.read_only(),
        block: capability.access == Access::Block,
        client: None,
    };
    if let Some(there) = volume.nodes.get(node) {
        let same = Publication { client: there.client.clone(), ..wanted } == *there;
        return if same {
            Ok(None)
        } else {
            Err(Fault::exists(format!(
                "it is published to node {node:?} for something else ({there:?}); unpublish it \
                 first"
            )))
        };
    }
    let alone = |publication: &Publication| publication.mode.single_node();
    let other = volume.nodes.iter().find(|(_, there)| {
        alone(&wanted) || alone(there) || there.mode.read_only() != wanted.mode.read_only()
    });
    match other {
        None => Ok(Some(wanted)),
        Some((other, _)) => Err(Fault::precondition(format!(
            "it is published to node {other:?}; unpublish it there first"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::rules::capability::Mode;

    fn volume(nodes: &[(&str, Mode)]) -> Volume {
        let publication = |mode: Mode| Publication {
            mode,
            read_only: mode.read_only(),
            block: true,
            client: None,
        };
        let nodes = nodes.iter().map(|(node, mode)| ((*node).to_owned(), publication(*mode)));
        Volume { nodes: nodes.collect(), ..Volume::default() }
    }

    fn block(mode: Mode) -> Capability {
        Capability { access: Access::Block, mode }
    }

    fn code(volume: &Volume, node: &str, mode: Mode, readonly: bool) -> Code {
        plan(volume, node, &block(mode), readonly).map_or_else(|fault| fault.code, |_| Code::Ok)
    }

    #[test]
    fn one_node_at_a_time_unless_the_mode_says_more() {
        let free = volume(&[]);
        let planned = plan(&free, "a", &block(Mode::SingleNodeWriter), false).unwrap().unwrap();
        assert!(!planned.read_only);
        for mode in
            [Mode::SingleNodeWriter, Mode::SingleNodeReaderOnly, Mode::SingleNodeMultiWriter]
        {
            let held = volume(&[("a", mode)]);
            assert_eq!(code(&held, "b", mode, false), Code::FailedPrecondition);
            assert_eq!(
                code(&held, "b", Mode::MultiNodeMultiWriter, false),
                Code::FailedPrecondition
            );
            assert_eq!(code(&held, "a", mode, mode.read_only()), Code::Ok);
        }
        let shared = volume(&[("a", Mode::MultiNodeMultiWriter)]);
        assert_eq!(code(&shared, "b", Mode::MultiNodeMultiWriter, false), Code::Ok);
        assert_eq!(code(&shared, "b", Mode::SingleNodeWriter, false), Code::FailedPrecondition);
        // Readers count on it that nobody writes.
        assert_eq!(code(&shared, "b", Mode::MultiNodeReaderOnly, false), Code::FailedPrecondition);
        let read = volume(&[("a", Mode::MultiNodeReaderOnly), ("c", Mode::MultiNodeReaderOnly)]);
        assert_eq!(code(&read, "b", Mode::MultiNodeReaderOnly, false), Code::Ok);
    }

    #[test]
    fn the_same_again_is_fine_and_another_is_not() {
        let mut held = volume(&[("a", Mode::SingleNodeWriter)]);
        held.nodes.get_mut("a").unwrap().client = Some("1.2.3.4:0/5".into());
        assert_eq!(plan(&held, "a", &block(Mode::SingleNodeWriter), false).unwrap(), None);
        assert_eq!(code(&held, "a", Mode::SingleNodeWriter, true), Code::AlreadyExists);
        assert_eq!(code(&held, "a", Mode::SingleNodeMultiWriter, false), Code::AlreadyExists);
    }
}
