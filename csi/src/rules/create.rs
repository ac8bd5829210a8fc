//! The next step of making a volume, given what there is of its name.

use crate::fault::Fault;
use crate::rules::parameters::Parameters;
use crate::rules::size::Range;
use crate::state::record::{Draft, Name, Source, Volume};

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub name: String,
    pub parameters: Parameters,
    pub range: Range,
    pub source: Option<Source>,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Write down that an image is being made; behind it, images of earlier attempts.
    Reserve { orphans: Vec<Draft> },
    /// It is there.
    Answer,
}

/// What there is: the name's record, and the volume that it names.
pub(crate) fn next(
    wanted: &Wanted,
    name: Option<&Name>,
    volume: Option<&Volume>,
) -> Result<Step, Fault> {
    match (name, volume) {
        (None, _) => Ok(Step::Reserve { orphans: Vec::new() }),
        // Whoever is at it is overtaken: it may be dead. Its image is not used by anybody yet.
        (Some(Name::Creating { draft, orphans }), _) => {
            let mut orphans = orphans.clone();
            orphans.push(draft.clone());
            Ok(Step::Reserve { orphans })
        }
        // Both records are made and removed in one step: they were read at different times.
        (Some(Name::Ready { .. }), None) => {
            Err(Fault::aborted("the volume is just being deleted; call again"))
        }
        (Some(Name::Ready { namespace, .. }), Some(volume)) => {
            compare(wanted, namespace, volume).map(|()| Step::Answer)
        }
    }
}

fn compare(wanted: &Wanted, namespace: &str, volume: &Volume) -> Result<(), Fault> {
    let Wanted { name, parameters, range, source } = wanted;
    let differs = |what: String| {
        let said = format!("volume {name:?} exists with {what}; use another name");
        Err(Fault::exists(said))
    };
    if !range.holds(volume.size) {
        return differs(format!("{} bytes", volume.size));
    }
    if &volume.source != source {
        return differs("another content source".to_owned());
    }
    if namespace != parameters.namespace {
        return differs(format!("namespace {namespace:?}"));
    }
    if volume.data_pool != parameters.data_pool {
        return differs(format!("data pool {:?}", volume.data_pool.as_deref().unwrap_or_default()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn wanted() -> Wanted {
        let parameters =
            Parameters { pool: "rbd".into(), namespace: String::new(), data_pool: None };
        let range = Range { required: 10, limit: 0 };
        Wanted { name: "pvc".into(), parameters, range, source: None }
    }

    fn draft(image: &str) -> Draft {
        Draft { namespace: String::new(), image: image.into(), origin: None }
    }

    fn ready() -> Name {
        Name::Ready { namespace: String::new(), image: "i".into() }
    }

    #[test]
    fn an_attempt_that_was_given_up_is_not_lost() {
        assert_eq!(next(&wanted(), None, None).unwrap(), Step::Reserve { orphans: vec![] });
        let name = Name::Creating { draft: draft("b"), orphans: vec![draft("a")] };
        let expected = Step::Reserve { orphans: vec![draft("a"), draft("b")] };
        assert_eq!(next(&wanted(), Some(&name), None).unwrap(), expected);
    }

    #[test]
    fn what_is_there_is_answered_if_it_is_what_is_wanted() {
        let volume = Volume { size: 10, ..Volume::default() };
        assert_eq!(next(&wanted(), Some(&ready()), Some(&volume)).unwrap(), Step::Answer);
        let others = [
            Volume { size: 9, ..volume.clone() },
            Volume { source: Some(Source::Volume("rbd/x".into())), ..volume.clone() },
            Volume { data_pool: Some("d".into()), ..volume.clone() },
        ];
        for other in others {
            let refused = next(&wanted(), Some(&ready()), Some(&other)).unwrap_err();
            assert_eq!(refused.code, Code::AlreadyExists, "{other:?}");
        }
        let elsewhere = Name::Ready { namespace: "n".into(), image: "i".into() };
        let refused = next(&wanted(), Some(&elsewhere), Some(&volume)).unwrap_err();
        assert_eq!(refused.code, Code::AlreadyExists);
        assert_eq!(next(&wanted(), Some(&ready()), None).unwrap_err().code, Code::Aborted);
    }
}
