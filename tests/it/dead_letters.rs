//! Dead letters are kept, cut to a size, and deleted by age.

use trackbox::store::dead_letters::{DeadLetter, KEY_BYTES_MAX, LETTERS_KEPT, VALUE_BYTES_MAX};
use trackbox::store::updates::Batch;

use crate::support::fixture::{Applier, TOPIC, TestStore, on_every_store};
use crate::support::time::at;

fn letter(offset: i64, key: Option<Vec<u8>>, value: Vec<u8>) -> DeadLetter {
    DeadLetter {
        id: 0,
        topic: TOPIC.to_owned(),
        partition: 0,
        offset,
        key,
        size_bytes: value.len() as i64,
        value,
        error: "не читается".to_owned(),
        at: at(offset),
    }
}

#[tokio::test]
async fn dead_letters_are_kept_once_cut_and_in_the_order_of_offsets() {
    on_every_store(async |test: TestStore| {
        let applier = Applier::new(&test.store).await;
        let long = vec![7; 1_000_000];
        let mut batch = Batch {
            ownership: applier.ownership,
            first_offset: 0,
            next_offset: 3,
            updates: Vec::new(),
            dead_letters: vec![
                letter(0, None, Vec::new()),
                letter(1, Some(Vec::new()), b"\x00\xff".to_vec()),
                letter(2, Some(long.clone()), long),
            ],
        };
        for next_offset in [3, 4] {
            batch.next_offset = next_offset;
            let applied = test
                .store
                .apply(std::slice::from_ref(&batch), at(9), async |_| {})
                .await;
            applied.expect("applies");
            // Another consumer reads the same records again.
            batch.first_offset = next_offset;
        }
        let mut letters = test.store.dead_letters(None, 10).await.expect("lists");
        letters.reverse();
        assert_eq!(letters.len(), 3, "each is kept once");
        let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        for (kept, sent) in letters.iter().zip(&batch.dead_letters) {
            let expected = DeadLetter {
                id: kept.id,
                key: sent.key.clone().map(|mut key| {
                    key.truncate(KEY_BYTES_MAX);
                    key
                }),
                value: sent.value[..sent.value.len().min(VALUE_BYTES_MAX)].to_vec(),
                ..sent.clone()
            };
            assert!(*kept == expected, "offset {}", sent.offset);
        }
        assert_eq!(letters[2].size_bytes, 1_000_000);
        let older = test.store.dead_letters(Some(ids[2]), 1).await;
        assert_eq!(older.expect("lists")[0].id, ids[1]);
        let pruned = test.store.prune_dead_letters(at(1) + LETTERS_KEPT).await;
        assert_eq!(pruned.expect("prunes"), 1, "only the one of at(0) is older");
    })
    .await;
}
