//! One parcel is one tracking, however it is spelt, and odd spellings are named.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database};
use serde_json::{Value, json};

use crate::http::tests::{Api, at, seen};

fn items(pairs: &[(&str, &str)]) -> Value {
    let item =
        |(carrier, number): &(&str, &str)| json!({"carrierCode": carrier, "trackNumber": number});
    json!({"items": pairs.iter().map(item).collect::<Vec<_>>()})
}

/// Carrier and number of each tracking, and its advice.
async fn created(api: &Api, pairs: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
    let answer = api.post("/trackings", &items(pairs)).await.ok();
    let rows = answer["trackings"].as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    rows.iter()
        .map(|row| {
            let name = format!(
                "{}/{}",
                text(&row["carrierCode"]),
                text(&row["trackNumber"])
            );
            let advice = row["advice"].as_array().cloned().unwrap_or_default();
            (name, advice.iter().map(text).collect())
        })
        .collect()
}

fn plain(name: &str) -> (String, Vec<String>) {
    (name.to_owned(), Vec::new())
}

#[tokio::test]
async fn spellings_of_a_pair_are_one_tracking_at_its_first_place() {
    let api = Api::new().await;
    let pairs = [
        ("CDEK", "rb 123"),
        ("POST_RU", "A"),
        ("cdek", "RB123"),
        (" CDEK\u{200b}", "\u{feff}Rb\u{a0}123\u{202c} "),
        ("Dhl", "A"),
        ("DHL", "a"),
    ];
    let expected = [plain("CDEK/rb 123"), plain("POST_RU/A"), plain("Dhl/A")];
    assert_eq!(created(&api, &pairs).await, expected);
    assert_eq!(created(&api, &pairs[2..3]).await, expected[..1]);
    assert_eq!(api.count().await, 3);
}

#[tokio::test]
async fn a_number_or_code_of_mixed_alphabets_is_taken_and_named() {
    let api = Api::new().await;
    let pairs = [
        ("CDEK", "R\u{412}1"),
        ("CDEK", "r\u{412}1"),
        ("CDEK", "RB1"),
    ];
    let answer = created(&api, &pairs).await;
    let advice = [
        "trackNumber \"R\u{412}1\" mixes alphabets: \u{412} only looks Latin; if \"RB1\" is meant, send that",
        "trackNumber \"r\u{412}1\" mixes alphabets: \u{412} only looks Latin; if \"RB1\" is meant, send that",
    ];
    assert_eq!(answer[0].0, "CDEK/R\u{412}1");
    assert_eq!(answer[0].1, advice);
    assert_eq!(answer[1], plain("CDEK/RB1"));
    let code = created(&api, &[("D\u{41d}L", "A")]).await.remove(0).1;
    let advice = "carrierCode \"D\u{41d}L\" mixes alphabets: \u{41d} only looks Latin; if \"DHL\" is meant, send that";
    assert_eq!(code, [advice]);
    let read = api
        .post("/trackings/get-by-ids", &json!({"ids": [1]}))
        .await
        .ok();
    assert_eq!(read["trackings"][0]["advice"], Value::Null);
}

#[tokio::test]
async fn a_code_like_that_of_a_section_is_taken_and_named_if_a_section_serves_it() {
    let api = Api::new().await;
    let answer = created(&api, &[("CDEC", "A")]).await;
    let advice = "carrierCode \"CDEC\" has no section of its own in the configuration; if CDEK is meant, send that";
    assert_eq!(answer, [("CDEC/A".to_owned(), vec![advice.to_owned()])]);
    let api = Api::with(|config| {
        config.carriers.remove("*");
    })
    .await;
    let answer = api.post("/trackings", &items(&[("CDEC", "A")])).await;
    answer.problem(422);
    let detail = "is not a known carrier; known are CDEK, POST_RU; did you mean CDEK?";
    assert_eq!(answer.json()["errors"][0]["detail"], detail);
}

#[tokio::test]
async fn a_code_in_letters_of_another_alphabet_is_refused_with_what_it_looks_like() {
    let api = Api::new().await;
    let answer = api
        .post("/trackings", &items(&[("\u{421}DE\u{41a}", "A")]))
        .await;
    answer.problem(422);
    let error = &answer.json()["errors"][0];
    assert_eq!(error["pointer"], "/items/0/carrierCode");
    assert_eq!(
        error["detail"],
        "has letters of another alphabet; did you mean CDEK?"
    );
    assert_eq!(api.count().await, 0);
}

#[tokio::test]
async fn what_cannot_be_seen_is_no_code_and_no_number() {
    let api = Api::new().await;
    for blank in [" ", "\u{200b}", "\u{feff}\u{a0}\u{3000}"] {
        let answer = api.post("/trackings", &items(&[(blank, blank)])).await;
        answer.problem(422);
        assert_eq!(
            answer.pointers(),
            ["/items/0/carrierCode", "/items/0/trackNumber"]
        );
        let detail = answer.json()["errors"][1]["detail"].clone();
        assert_eq!(
            detail,
            "must have a visible character, this has only blanks and invisible ones"
        );
    }
}

#[tokio::test]
async fn the_id_of_a_twin_lives_on_in_every_call() {
    let api = Api::new().await;
    let (old, twin) = (
        api.create("CDEK", "A1").await,
        api.create("CDEK", "B2").await,
    );
    api.apply(0, &[seen(&twin, 2)], Vec::new()).await;
    let get = json!({"ids": [twin, old, twin]});
    api.post("/trackings/get-by-ids", &get).await.ok();
    let url = format!("sqlite://{}/trackbox.db", api._folder.path().display());
    let database = Database::connect(url).await.expect("connects");
    let written_before = "UPDATE trackings SET carrier_key = NULL, number_key = NULL, \
                          track_number = CASE track_number WHEN 'B2' THEN ' a1' ELSE track_number END";
    database
        .execute_unprepared(written_before)
        .await
        .expect("writes");
    assert_eq!(api.serve.current.fold_twins(at(0)).await.expect("folds"), 1);

    let answer = api.post("/trackings/get-by-ids", &get).await.ok();
    for (place, id) in [&twin, &old, &twin].into_iter().enumerate() {
        let row = &answer["trackings"][place];
        assert_eq!(
            (&row["id"], &row["trackNumber"]),
            (&json!(id), &json!("A1"))
        );
        assert_eq!(row["status"], "IN_TRANSIT");
    }
    for id in [&twin, &old] {
        let events = api.get(&format!("/trackings/{id}/events")).await.ok();
        let ids: Vec<&Value> = events["events"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| &it["trackingId"])
            .collect();
        assert_eq!(ids, [id.as_str(), id.as_str()]);
        let schedule = api.get(&format!("/trackings/{id}/schedule")).await.ok();
        assert_eq!(schedule["trackingId"], id.as_str());
    }
    api.serve.clock.advance(Duration::from_secs(60));
    api.post(&format!("/trackings/{twin}/refresh"), &json!({}))
        .await
        .ok();
    let row = &api
        .post("/trackings/get-by-ids", &json!({"ids": [old]}))
        .await
        .ok()["trackings"][0];
    assert_eq!(row["version"], 4, "created, told, folded, refreshed");
    api.get("/trackings/3/events").await.problem(404);
}
