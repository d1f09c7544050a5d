//! Keys in real processes: made on the command line, refused everywhere soon after they are revoked, and found nowhere.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::engines::free_port;
use crate::support::fixture::{postgres, postgres_server};
use crate::support::process::{World, pause, stop};

/// How long a revoked key may go on working, and how late a loaded machine may ask.
const REFUSED_WITHIN: Duration = Duration::from_secs(11);

/// Makes a key as people do; returns it. Nothing else may be on stdout.
async fn make(world: &World, options: &str) -> String {
    let made = world
        .output_of(&format!("keys create --name test {options}"))
        .await;
    let key = made.trim_end().to_owned();
    assert!(key.starts_with("tbx_") && key.len() == 42, "{made}");
    key
}

/// Asks with a key, or without if it is empty.
async fn ask(url: &str, key: &str) -> StatusCode {
    let mut request = Client::new().get(url);
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    request.send().await.expect("answers").status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_within_ten_seconds_by_every_process() {
    let made = postgres(&postgres_server()).await;
    made.store.close().await;
    let folder = tempdir().expect("a temporary folder");
    let world = World::with(folder, made.url, &[("CDEK", 0)], "emulator").await;
    let second = format!("127.0.0.1:{}", free_port());
    let listen = [("HTTP__LISTEN".to_owned(), second.clone())];
    let processes = [
        world.start_role("serve"),
        world.start_with("serve", &listen),
    ];
    let apis = [world.api.clone(), format!("http://{second}")];
    for api in &apis {
        world.wait_until_answered(api).await;
        assert_eq!(ask(&format!("{api}/carriers"), "").await, 200, "no key yet");
    }
    let operator = make(&world, "--scope admin --operator").await;
    let reader = make(&world, "--scope read").await;
    let began = Instant::now();
    for api in &apis {
        let url = format!("{api}/carriers");
        while ask(&url, "").await != 401 {
            assert!(
                began.elapsed() < REFUSED_WITHIN,
                "the first key shuts {api}"
            );
            pause(Duration::from_millis(100)).await;
        }
        assert_eq!(ask(&url, &reader).await, 200);
    }

    // Made first is 1, so this one is 2. By the first process, which refuses it at once.
    let revoked = Client::new()
        .delete(format!("{}/keys/2", apis[0]))
        .bearer_auth(&operator)
        .send()
        .await
        .expect("answers");
    assert_eq!(revoked.status(), 200);
    assert_refused(&apis, &reader, Duration::from_secs(1)).await;
    // On the command line, of which the processes hear nothing.
    let other = make(&world, "--scope read --expires 90d").await;
    for api in &apis {
        assert_eq!(ask(&format!("{api}/carriers"), &other).await, 200);
    }
    let told = world.output_of("keys revoke 3").await;
    assert!(told.starts_with("key 3 of tenant default"), "{told}");
    assert_refused(&apis, &other, REFUSED_WITHIN).await;
    let listed = world.output_of("keys list").await;
    assert_eq!(listed.matches("revoked 2").count(), 2, "{listed}");
    for process in processes {
        stop(process, || world.log()).await;
    }
}

/// Asserts that the first process refuses the key within `first`, and all do within ten seconds.
async fn assert_refused(apis: &[String], key: &str, first: Duration) {
    let began = Instant::now();
    for (api, within) in apis.iter().zip([first, REFUSED_WITHIN]) {
        while ask(&format!("{api}/carriers"), key).await != 401 {
            assert!(began.elapsed() < within, "{api}");
            pause(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_and_no_secret_is_in_the_database_the_log_or_the_configuration() {
    const SECRET: &str = "hunter2-of-the-carrier";
    let mut world = World::new(&[("CDEK", 600)]).await;
    world.create("CDEK", 3, 1).await;
    let worker = format!("127.0.0.1:{}", free_port());
    world.set("WORK__LISTEN", worker.clone());
    world.set("CARRIERS__CDEK__API_KEY", SECRET.to_owned());
    world.set("LOG__FILTER", "debug".to_owned());
    let made = world
        .run("keys create --name first --scope ADMIN --operator")
        .await;
    let operator = String::from_utf8(made.stdout)
        .expect("is text")
        .trim()
        .to_owned();
    let mut texts = vec![String::from_utf8(made.stderr).expect("is text")];
    let child = world.start();
    world.wait_until_ready().await;
    let client = Client::new();
    let wanted = json!({"name": "second", "scope": "READ"}).to_string();
    let made = client
        .post(format!("{}/keys", world.api))
        .bearer_auth(&operator);
    let made = made.body(wanted).send().await.expect("answers");
    let made: Value = made.json().await.expect("is JSON");
    let reader = made["secret"].as_str().expect("a key").to_owned();
    for (key, path) in [
        (&reader, "carriers"),
        (&reader, "metrics"),
        (&operator, "keys"),
        (&operator, "acts"),
    ] {
        let answer = client.get(format!("{}/{path}", world.api)).bearer_auth(key);
        let answer = answer.send().await.expect("answers");
        texts.push(answer.text().await.expect("is text"));
    }
    let in_url = format!("{}/carriers?key={reader}", world.api);
    assert_eq!(ask(&in_url, "").await, 401);
    let config = client
        .get(format!("http://{worker}/config"))
        .bearer_auth(&operator);
    let config = config.send().await.expect("answers");
    assert_eq!(config.status(), 200);
    texts.push(config.text().await.expect("is text"));
    let trigger = client.post(format!("http://{worker}/trigger")).send().await;
    assert_eq!(trigger.expect("answers").status(), 401);
    world.wait_until_arrived(Duration::from_secs(60)).await;
    texts.push(world.output_of("config").await);
    texts.push(world.output_of("keys list").await);
    stop(child, || world.log()).await;

    let mut places = vec![(
        "an answer or a command".to_owned(),
        texts.join("\n").into_bytes(),
    )];
    for entry in std::fs::read_dir(world.folder.path()).expect("reads the folder") {
        let path = entry.expect("reads the entry").path();
        let bytes = std::fs::read(&path).expect("reads the file");
        places.push((path.display().to_string(), bytes));
    }
    assert!(places.len() > 2, "the database and the log are there");
    for (place, bytes) in &places {
        // Without the first eight characters, which are the hint.
        for secret in [SECRET, &operator[8..], &reader[8..]] {
            let found = bytes
                .windows(secret.len())
                .any(|it| it == secret.as_bytes());
            assert!(!found, "{place} holds a secret");
        }
    }
    let (_, database) = &places[places
        .iter()
        .position(|(place, _)| place.ends_with("trackbox.db"))
        .expect("is there")];
    let hint = &operator.as_bytes()[..8];
    let wal = places.iter().find(|(place, _)| place.ends_with("-wal"));
    let all = [database.as_slice(), wal.map_or(&[], |(_, bytes)| bytes)].concat();
    assert!(
        all.windows(8).any(|it| it == hint),
        "the search finds what is there"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_for_other_machines_answers_without_a_key_only_if_it_is_told_to() {
    for (open, status, told) in [
        ("false", 401, "every request that needs one is refused"),
        ("true", 200, "http.open is set and there is no key"),
    ] {
        let mut world = World::new(&[("CDEK", 0)]).await;
        let listen = format!("0.0.0.0:{}", free_port());
        world.set("HTTP__LISTEN", listen.clone());
        world.set("HTTP__OPEN", open.to_owned());
        world.api = format!("http://{}", listen.replace("0.0.0.0", "127.0.0.1"));
        let child = world.start_role("serve");
        world.wait_until_ready().await;
        assert_eq!(ask(&format!("{}/carriers", world.api), "").await, status);
        assert_eq!(ask(&format!("{}/metrics", world.api), "").await, status);
        let key = make(&world, "--scope READ").await;
        assert!(world.log().contains(told), "{}", world.log());
        assert_eq!(ask(&format!("{}/carriers", world.api), &key).await, 200);
        stop(child, || world.log()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_made_disabled_and_enabled_on_the_command_line() {
    let world = World::new(&[]).await;
    let made = world.output_of("tenants create shop --name Shop").await;
    assert!(
        made.contains("trackbox keys create --tenant shop"),
        "{made}"
    );
    make(&world, "--tenant shop --scope WRITE").await;
    for (command, failure) in [
        ("tenants create shop", "there is a tenant shop already"),
        ("tenants create Shop", "must have 1 to 40 of the characters"),
        ("tenants disable default", "cannot be disabled"),
        ("tenants disable nobody", "there is no tenant nobody"),
        (
            "keys create --name x --scope READ --tenant nobody",
            "`trackbox tenants create nobody` makes it",
        ),
        (
            "keys create --name x --scope READ --tenant shop --operator",
            "of the tenant default alone",
        ),
        ("keys create --name x --scope ROOT", "READ, WRITE, ADMIN"),
        (
            "keys create --name x --scope READ --expires never",
            "--expires",
        ),
        ("keys revoke 4711", "there is no key 4711"),
    ] {
        let output = world.run(command).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && told.contains(failure),
            "{command}: {told}"
        );
        assert!(output.stdout.is_empty(), "{command}");
    }
    world.output_of("tenants disable shop").await;
    let listed = world.output_of("tenants list").await;
    assert!(
        listed.contains("disabled 2") && listed.contains("Shop"),
        "{listed}"
    );
    world.output_of("tenants enable shop").await;
    assert!(!world.output_of("tenants list").await.contains("disabled"));
}
