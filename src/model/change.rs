//! The identity of a change, and the cursor that names one.
//!
//! Both follow from what happened alone: after a restore from a backup the same checks make the same changes with the same ids,
//! and a reader who remembers ids is not told twice. A cursor from after the backup is found out, since the change at its place
//! is another one now.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::model::tenant::Tenant;

/// What the hash of an identity begins with, so that another form gives other ids.
const FORM: &[u8] = b"trackbox.change.1";

/// The version of cursors.
const CURSOR: u8 = 1;

/// How many bytes of its identity a cursor holds.
const MARK: usize = 4;

/// What makes a change the one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub tenant: Tenant,
    pub tracking_id: i64,
    /// The number of its kind.
    pub kind: i16,
    pub change_seq: i64,
    pub cause: Uuid,
}

/// A place in a tenant's feed: behind a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The change's place; 0 before the first.
    pub seq: i64,
    mark: [u8; MARK],
}

impl Identity {
    fn hash(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update(FORM);
        hash.update(self.tenant.id().to_be_bytes());
        hash.update(self.tracking_id.to_be_bytes());
        hash.update(self.kind.to_be_bytes());
        hash.update(self.change_seq.to_be_bytes());
        hash.update(self.cause.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash.finalize()[..16]);
        first
    }

    /// The id that clients see: `msg_` and 26 letters and digits.
    pub fn id(&self) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let hash = u128::from_be_bytes(self.hash());
        let digits = (0..26).map(|nth| {
            // 130 bits: two zeros before the 128 of the hash.
            let digit = hash >> (5 * (25 - nth)) & 31;
            char::from(ALPHABET[digit as usize])
        });
        std::iter::once("msg_".to_owned())
            .chain(digits.map(String::from))
            .collect()
    }
}

impl Cursor {
    /// Before the first change.
    pub const START: Self = Self {
        seq: 0,
        mark: [0; MARK],
    };

    /// Behind the place `seq`, where no change is kept any more.
    pub fn unseen(seq: i64) -> Self {
        Self { seq, ..Self::START }
    }

    /// Behind the change at `seq`.
    pub fn behind(seq: i64, identity: &Identity) -> Self {
        let mut mark = [0; MARK];
        mark.copy_from_slice(&identity.hash()[..MARK]);
        Self { seq, mark }
    }

    /// Whether it names this change.
    pub fn names(&self, identity: &Identity) -> bool {
        self.mark == identity.hash()[..MARK]
    }

    /// As clients send it back.
    pub fn text(&self) -> String {
        let mut bytes = vec![CURSOR];
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.mark);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads [`Cursor::text`]; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (seq, mark) = rest.split_first_chunk::<8>()?;
        let seq = i64::from_be_bytes(*seq);
        let mark = mark.try_into().ok()?;
        (*version == CURSOR && seq >= 0).then_some(Self { seq, mark })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{prop_assert, prop_assert_eq, proptest};
    use uuid::Uuid;

    use super::{Cursor, Identity};
    use crate::model::tenant::Tenant;

    fn identity(tracking_id: i64) -> Identity {
        Identity {
            tenant: Tenant::DEFAULT,
            tracking_id,
            kind: 1,
            change_seq: 4,
            cause: Uuid::from_u128(7),
        }
    }

    /// Receivers remember ids: they must never change.
    #[test]
    fn an_id_stays_what_it_was() {
        assert_eq!(identity(1).id(), "msg_bcih4fspdigchjk77eeyafpitp");
        assert_ne!(identity(1).id(), identity(2).id());
    }

    #[test]
    fn a_cursor_names_one_change() {
        let cursor = Cursor::behind(9, &identity(1));
        assert!(cursor.names(&identity(1)) && !cursor.names(&identity(2)));
        assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        assert_eq!(Cursor::parse(&Cursor::START.text()), Some(Cursor::START));
    }

    proptest! {
        #[test]
        fn any_text_is_a_cursor_or_none(text in any::<String>(), seq in 0..i64::MAX) {
            if let Some(cursor) = Cursor::parse(&text) {
                prop_assert_eq!(cursor.text(), text);
            }
            let cursor = Cursor::behind(seq, &identity(seq));
            prop_assert!(Cursor::parse(&cursor.text()[1..]).is_none());
        }
    }
}
