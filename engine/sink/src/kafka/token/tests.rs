use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use super::*;

fn login(url: &str) -> OAuth {
    OAuth {
        token_url: TokenUrl::parse(url).unwrap(),
        client_id: "a&b".into(),
        client_secret: "s: c".into(),
        read_again: None,
        scope: Some("read write".into()),
        extensions: BTreeMap::new(),
        ca: None,
    }
}

/// A server that gives these answers, head and body, one after the other, and what it was asked each time.
fn server(answers: &'static [(&'static str, &'static str)]) -> (OAuth, std::thread::JoinHandle<Vec<String>>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let login = login(&format!("http://{}/token?tenant=7", socket.local_addr().unwrap()));
    let asked = std::thread::spawn(move || {
        let answer = |(said, text): &(&str, &str)| {
            let (mut stream, _) = socket.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut bytes) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            if let Some((_, rest)) = head.split_once("content-length: ") {
                bytes = rest.lines().next().unwrap().parse().unwrap();
            }
            let mut body = vec![0; bytes];
            reader.read_exact(&mut body).unwrap();
            let said = match said.starts_with("HTTP") && !said.contains('\n') {
                true => format!("{said}\r\ncontent-length: {}\r\n\r\n{text}", text.len()),
                false => format!("{said}{text}"),
            };
            stream.write_all(said.as_bytes()).unwrap();
            head + &String::from_utf8(body).unwrap()
        };
        answers.iter().map(answer).collect()
    });
    (login, asked)
}

fn answer(json: &str) -> Result<Answer, String> {
    Answer::read(json.as_bytes(), UNIX_EPOCH + Duration::from_secs(1000))
}

#[test]
fn a_token_s_life_is_what_the_server_says_or_else_the_token() {
    let jwt = |claims: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
    let life = |json: &str| answer(json).map(|answer| answer.life.as_secs());
    assert_eq!(life(r#"{"access_token": "t", "expires_in": 300}"#), Ok(300));
    assert_eq!(life(r#"{"access_token": "t", "expires_in": "300"}"#), Ok(300));
    let token = jwt(r#"{"exp": 1060, "sub": "tide"}"#);
    assert_eq!(life(&format!(r#"{{"access_token": "{token}"}}"#)), Ok(60));
    assert_eq!(life(&format!(r#"{{"access_token": "{token}", "expires_in": 300}}"#)), Ok(60));
    assert_eq!(life(&format!(r#"{{"access_token": "{token}", "expires_in": 30}}"#)), Ok(30));
    // By another clock.
    let past = jwt(r#"{"exp": 900}"#);
    assert_eq!(life(&format!(r#"{{"access_token": "{past}", "expires_in": 300}}"#)), Ok(300));
    assert_eq!(life(r#"{"access_token": "t", "expires_in": 1e300}"#), Ok(LIFE_MAX.as_secs()));
    let read = answer(&format!(r#"{{"access_token": "{token}", "token_type": "Bearer"}}"#)).unwrap();
    assert_eq!((read.token, read.principal.as_deref()), (token, Some("tide")));
    let refused = |json: &str, words: &str| {
        let error = answer(json).unwrap_err();
        assert!(error.contains(words), "{json}: {error}");
    };
    refused(r#"{"access_token": "t"}"#, "neither in expires_in nor in exp");
    refused(r#"{"access_token": "t", "expires_in": 0}"#, "has ended before it came");
    refused(r#"{"access_token": "t", "expires_in": -1}"#, "has ended before it came");
    refused(&format!(r#"{{"access_token": "{}"}}"#, jwt(r#"{"exp": 900}"#)), "has ended before it came");
    refused(r#"{"expires_in": 300}"#, "no access_token");
    refused(r#"{"access_token": "a\u0000b", "expires_in": 300}"#, "characters that no token has");
    refused("<html>welcome</html>", "not the JSON of a token");
}

#[test]
fn addresses_of_token_endpoints() {
    let url = TokenUrl::parse("https://[::1]:8443/a/token?tenant=secret").unwrap();
    assert_eq!((&*url.host, url.port, &*url.path), ("::1", 8443, "/a/token?tenant=secret"));
    assert_eq!(url.to_string(), "https://[::1]:8443/a/token");
    let url = TokenUrl::parse("http://login").unwrap();
    assert_eq!((&*url.host, url.port, &*url.path), ("login", 80, "/"));
    assert_eq!(TokenUrl::parse("https://login/token").unwrap().port, 443);
    for text in [
        "login/token",
        "/token",
        "ftp://login/token",
        "https://",
        "https://login:port/token",
        "https://a b/",
        "https://login:/token",
        "https://login/#token",
    ] {
        assert!(TokenUrl::parse(text).is_err(), "{text}");
    }
    assert!(TokenUrl::parse("https://a:hunter2@login/token").unwrap_err().contains("client_secret"));
}

#[test]
fn credentials_are_asked_with_as_a_form_has_them() {
    let (login, asked) =
        server(&[("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "4\r\n{\"a\"\r\n4\r\n: 1}\r\n0\r\n\r\n")]);
    assert_eq!(request::ask(&login, &login.client_secret).unwrap(), r#"{"a": 1}"#);
    let [asked] = <[String; 1]>::try_from(asked.join().unwrap()).unwrap();
    assert!(asked.starts_with("POST /token?tenant=7 HTTP/1.1\r\n"), "{asked}");
    // a%26b:s%3A+c
    assert!(asked.contains("\r\nauthorization: Basic YSUyNmI6cyUzQStj\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\ngrant_type=client_credentials&scope=read+write"), "{asked}");
}

#[test]
fn whoever_refuses_is_quoted_without_the_secret() {
    let (login, asked) = server(&[
        (
            "HTTP/1.1 400 Bad Request",
            "{\"error\": \"invalid_scope\", \"error_description\": \"no\\nscope s: c, s%3A+c  .\"}",
        ),
        ("HTTP/1.1 503 Service Unavailable", "<b> later</b>"),
        ("HTTP/1.1 302 Found", ""),
        ("SSH-2.0-OpenSSH\r\n", ""),
        ("", ""),
    ]);
    let ask = || request::ask(&login, &login.client_secret).unwrap_err();
    let url = login.token_url.to_string();
    assert_eq!(
        ask().to_string(),
        format!("{url} gives the task no token for the brokers: 400 Bad Request: invalid_scope: no scope ***, *** .")
    );
    let away = |error: SinkError| {
        assert!(error.is_transient() && error.hint().is_some(), "{error:?}");
        error.to_string()
    };
    assert_eq!(
        away(ask()),
        format!("could not get a token for the brokers from {url}: it answered 503 Service Unavailable: <b> later</b>")
    );
    let error = ask();
    assert!(!error.is_transient() && error.to_string().ends_with(": 302 Found"), "{error}");
    println!("{}", away(ask()));
    println!("{}", away(ask()));
    asked.join().unwrap();
    println!("{}", away(ask()));
}

#[test]
fn a_token_is_fetched_once_until_it_is_due_and_kept_while_it_lives() {
    let (login, asked) = server(&[
        ("HTTP/1.1 200 OK", "{\"access_token\": \"one\", \"expires_in\": 3600}"),
        ("HTTP/1.1 401 Unauthorized", ""),
        ("HTTP/1.1 200 OK", "{\"access_token\": \"two\", \"expires_in\": 3600}"),
    ]);
    let tokens = Tokens::new(login);
    let first = tokens.token().unwrap();
    assert!(Arc::ptr_eq(&first, &tokens.token().unwrap()));
    // One that has just come is not at fault, and is replaced later.
    tokens.refused();
    assert!(Arc::ptr_eq(&first, &tokens.token().unwrap()));
    assert!(tokens.next() <= Instant::now() + RENEW_AFTER);

    let older = |token: &Token, age: Duration| {
        let Token { value, principal, obtained, life, ends } = token;
        let obtained = obtained.checked_sub(age).expect("a machine that has run for a while");
        Arc::new(Token { value: value.clone(), principal: principal.clone(), obtained, life: *life, ends: *ends })
    };
    tokens.lock().token = Some(older(&first, RENEW_AFTER));
    let error = tokens.token().err().unwrap();
    assert!(matches!(&error, SinkError::TokenRefused { reason, .. } if reason == "401 Unauthorized"), "{error:?}");
    // It is not asked again at once, and whoever waits for brokers waits for that.
    assert!(tokens.token().is_err() && tokens.next() > Instant::now());
    let lacking = tokens.lacking().unwrap();
    assert!(lacking.is_transient() && lacking.to_string().contains("it refused the task: 401"), "{lacking}");

    tokens.lock().failed.as_mut().unwrap().again = Instant::now();
    assert_eq!(tokens.token().unwrap().value, "two");
    assert!(tokens.lacking().is_none());
    assert_eq!(asked.join().unwrap().len(), 3);
}

#[test]
fn extensions_that_brokers_take() {
    assert_eq!(check_extension("logicalCluster", "lkc-1 a=b"), Ok(()));
    for (name, value) in [("auth", "a"), ("", "a"), ("a-b", "a"), ("a", "ä"), ("a", "\u{1}")] {
        assert!(check_extension(name, value).is_err(), "{name}={value}");
    }
}
