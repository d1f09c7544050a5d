//! A real browser shows that a web page of another origin reads and writes nothing in a TrackBox that needs no key: not from
//! another port of this machine, not from another site, and not under a name that leads to this machine (DNS rebinding).

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use trackbox::model::tenant::Tenant;

use crate::support::engines::{free_port, server};
use crate::support::process::{World, stop};

/// The name of the other site. The browser is told that it leads to this machine.
const EVIL: &str = "evil.example";

/// The path of the page; every other path of the same origin leads to TrackBox.
const PAGE: &str = "/page";

/// Tries all that a page can try against the `BASES`, and shows what it could read.
const SCRIPT: &str = r##"<!doctype html><pre id="read"></pre><iframe name="sink"></iframe><script>
(async () => {
  const read = [];
  const look = async (url, options) => {
    try {
      const answer = await fetch(url, options);
      if (answer.ok) read.push(url + " " + (await answer.text()).slice(0, 40));
    } catch (error) {}
  };
  const items = {"items": [{"carrierCode": "CDEK", "trackNumber": "EVIL1"}]};
  const key = {"name": "evil", "scope": "ADMIN", "operator": true};
  const writes = [["POST", "/trackings", items], ["POST", "/trackings/1/refresh", {}],
                  ["POST", "/tenants", {"code": "evil"}], ["POST", "/trigger", {}],
                  ["DELETE", "/carriers/CDEK/pause", {}], ["POST", "/keys", key]];
  for (const base of BASES) {
    for (const path of ["/carriers", "/trackings/1/events", "/metrics", "/keys", "/acts", "/stats", "/config"]) {
      await look(base + path, {});
    }
    for (const [method, path, body] of writes) {
      const text = {"method": method, "body": JSON.stringify(body), "headers": {"content-type": "text/plain"}};
      await look(base + path, text);
      await look(base + path, {...text, "mode": "no-cors"});
      await look(base + path, {...text, "headers": {"content-type": "application/json"}});
      if (method === "POST") {
        const form = document.createElement("form");
        Object.assign(form, {"method": "post", "action": base + path, "enctype": "text/plain", "target": "sink"});
        const field = document.createElement("input");
        // Sent as NAME=VALUE: together they are JSON.
        field.name = JSON.stringify(body).slice(0, -1) + ', "x": "';
        field.value = '"}';
        form.append(field);
        document.body.append(form);
        form.submit();
        await new Promise(done => setTimeout(done, 200));
      }
    }
  }
  document.getElementById("read").textContent = "read: " + JSON.stringify(read);
})();
</script>"##;

/// Serves the page to those who ask for it, and passes every other connection on to `behind`, as a name does whose address
/// changes after the page was loaded.
async fn rebinding(
    listener: TcpListener,
    page: String,
    behind: Option<String>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (client, _) = accepted.expect("accepts");
        tokio::spawn(serve_or_pass_on(client, page.clone(), behind.clone()));
    }
}

async fn serve_or_pass_on(mut client: TcpStream, page: String, behind: Option<String>) {
    let ask = format!("GET {PAGE} ");
    let mut begin = vec![0; ask.len()];
    // A browser opens connections that it never uses.
    let Ok(read) = client.read_exact(&mut begin).await else {
        return;
    };
    if begin[..read] == *ask.as_bytes() {
        let mut rest = [0; 4_096];
        let read = client.read(&mut rest).await;
        assert!(read.expect("reads") > 0, "the rest of the request");
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
            page.len()
        );
        // A browser that has gone away is no failure of what is tested.
        client.write_all(answer.as_bytes()).await.ok();
        return;
    }
    let Some(behind) = behind else {
        return;
    };
    let mut server = TcpStream::connect(behind).await.expect("connects");
    server.write_all(&begin).await.expect("passes on");
    tokio::io::copy_bidirectional(&mut client, &mut server)
        .await
        .ok();
}

/// What the page could read, as the browser shows it at the end.
async fn read_by_page(url: &str) -> Vec<String> {
    let profile = tempdir().expect("a temporary folder");
    let mut browser = Command::new(server("TRACKBOX_TEST_CHROMIUM"));
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--host-resolver-rules=MAP {EVIL} 127.0.0.1"))
        // The browser's own guards must not hide that ours are missing.
        .arg("--disable-features=LocalNetworkAccessChecks,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable")
        .args(["--virtual-time-budget=60000", "--dump-dom", url])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let shown = tokio::time::timeout(Duration::from_secs(120), browser.output()).await;
    let shown = shown.expect("ends in time").expect("starts");
    let page = String::from_utf8_lossy(&shown.stdout).into_owned();
    let told = page
        .split_once("<pre id=\"read\">read: ")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .unwrap_or_else(|| panic!("the page did not end: {page}"));
    let told = told
        .0
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    serde_json::from_str(&told).expect("is a list")
}

/// Opens the page by the name `host`; returns what it could read of TrackBox at `bases`, and under its own origin if that comes
/// to lead to `behind`.
async fn visit(host: &str, bases: &[String], behind: Option<&str>) -> Vec<String> {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).await;
    let listener = listener.expect("binds");
    let port = listener.local_addr().expect("has an address").port();
    let origin = format!("http://{host}:{port}");
    let all: Vec<&String> = bases.iter().chain(behind.map(|_| &origin)).collect();
    let page = SCRIPT.replace("BASES", &serde_json::to_string(&all).expect("is JSON"));
    let stop = CancellationToken::new();
    let behind = behind.map(|url| url.trim_start_matches("http://").to_owned());
    let serving = tokio::spawn(rebinding(listener, page, behind, stop.clone()));
    let read = read_by_page(&format!("{origin}{PAGE}")).await;
    stop.cancel();
    serving.await.expect("served to the end");
    read
}

/// What a page could have changed: parcels, a refresh, tenants, keys, acts, and a trigger.
async fn changes(world: &World, worker: &str) -> Vec<String> {
    let store = world.store().await;
    let mut found = Vec::new();
    for tracking in store.trackings_after(0, 10).await.expect("reads") {
        found.push(format!(
            "{} {:?}",
            tracking.track_number, tracking.refreshed_at
        ));
    }
    for tenant in store.tenants(None, 10).await.expect("lists") {
        found.push(tenant.code.to_string());
    }
    for key in store.keys(Tenant::DEFAULT, None, 10).await.expect("lists") {
        found.push(key.name);
    }
    for act in store
        .acts(Tenant::DEFAULT, None, None, 10)
        .await
        .expect("lists")
    {
        found.push(act.deed);
    }
    store.close().await;
    let stats = reqwest::get(format!("{worker}/stats"))
        .await
        .expect("answers");
    let stats: Value = stats.json().await.expect("is JSON");
    found.push(stats["lastTriggerAt"].to_string());
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_read_and_write_nothing_also_by_dns_rebinding() {
    let mut world = World::new(&[("CDEK", 600)]).await;
    world.create("CDEK", 1, 1_000).await;
    let worker = format!("127.0.0.1:{}", free_port());
    world.set("WORK__LISTEN", worker.clone());
    let (api, worker) = (world.api.clone(), format!("http://{worker}"));
    let child = world.start();
    world.wait_until_ready().await;
    let port_of = |url: &str| url.rsplit_once(':').expect("has a port").1.to_owned();
    let bases = [
        api.clone(),
        worker.clone(),
        format!("http://localhost:{}", port_of(&api)),
        format!("http://{EVIL}:{}", port_of(&api)),
        format!("http://{EVIL}:{}", port_of(&worker)),
    ];
    let before = changes(&world, &worker).await;
    assert_eq!(before, ["CDEK0 None", "default", "null"]);
    // From another site, whose name comes to lead to the API or to the worker.
    for behind in [&api, &worker] {
        assert_eq!(visit(EVIL, &bases, Some(behind)).await, [""; 0]);
        assert_eq!(changes(&world, &worker).await, before);
    }
    // From a page at another port of this machine, which is of the same site.
    let read = visit("localhost", &bases[..3], None).await;
    assert_eq!(read, [""; 0]);
    assert_eq!(changes(&world, &worker).await, before);

    // The page can do all of it where the browser takes it for a page of TrackBox: so it would have shown a hole.
    let read = visit("localhost", &[], Some(&api)).await;
    assert!(
        read.iter().any(|line| line.contains("\"carriers\"")),
        "{read:?}"
    );
    let after = changes(&world, &worker).await;
    for change in ["EVIL1 None", "evil", "KEY_CREATED", "TENANT_CREATED"] {
        assert!(after.iter().any(|it| it == change), "{change}: {after:?}");
    }
    stop(child, || world.log()).await;
}
