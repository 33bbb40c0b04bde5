use proptest::prelude::*;

use super::*;
use crate::config::Layers;

fn closed() -> Guard {
    Guard::with_resolver(Allow::none(), Arc::new(ScriptedResolver::default()))
}

fn resolves(answers: &[&[IpAddr]], allow: Allow) -> Guard {
    let resolver = ScriptedResolver::default().host("receiver.example", answers);
    Guard::with_resolver(allow, Arc::new(resolver))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The IANA registries of special-purpose addresses, multicast and the forms that carry an IPv4 address: the first and
/// the last address of each block, then the neighbors that are public again.
#[test]
fn the_registries_are_refused_row_by_row_and_nothing_else_is() {
    let blocks: &[(&str, Class)] = &[
        ("0.0.0.0/8", Class::Unspecified),
        ("10.0.0.0/8", Class::Private),
        ("100.64.0.0/10", Class::CarrierNat),
        ("127.0.0.0/8", Class::Loopback),
        ("169.254.0.0/16", Class::LinkLocal),
        ("172.16.0.0/12", Class::Private),
        ("192.0.0.0/24", Class::Protocol),
        ("192.0.2.0/24", Class::Documentation),
        ("192.31.196.0/24", Class::Protocol),
        ("192.52.193.0/24", Class::Protocol),
        ("192.88.99.0/24", Class::Protocol),
        ("192.168.0.0/16", Class::Private),
        ("192.175.48.0/24", Class::Protocol),
        ("198.18.0.0/15", Class::Benchmarking),
        ("198.51.100.0/24", Class::Documentation),
        ("203.0.113.0/24", Class::Documentation),
        ("224.0.0.0/4", Class::Multicast),
        ("255.255.255.255/32", Class::Broadcast),
        ("::/128", Class::Unspecified),
        ("::1/128", Class::Loopback),
        ("::ffff:0:0/96", Class::Mapped),
        ("::ffff:0:0:0/96", Class::Translated),
        ("64:ff9b::/96", Class::Translated),
        ("64:ff9b:1::/48", Class::Translated),
        ("100::/64", Class::Protocol),
        ("100:0:0:1::/64", Class::Protocol),
        ("2001::/32", Class::Translated),
        ("2001:1::/32", Class::Protocol),
        ("2001:2::/48", Class::Benchmarking),
        ("2001:3::/32", Class::Protocol),
        ("2001:4:112::/48", Class::Protocol),
        ("2001:10::/28", Class::Protocol),
        ("2001:20::/28", Class::Protocol),
        ("2001:30::/28", Class::Protocol),
        ("2001:db8::/32", Class::Documentation),
        ("2002::/16", Class::Translated),
        ("2620:4f:8000::/48", Class::Protocol),
        ("3fff::/20", Class::Documentation),
        ("5f00::/16", Class::SegmentRouting),
        ("fc00::/7", Class::UniqueLocal),
        ("fe80::/10", Class::LinkLocal),
        ("fec0::/10", Class::SiteLocal),
        ("ff00::/8", Class::Multicast),
        ("4000::/3", Class::Reserved),
        ("240.0.0.0/5", Class::Reserved),
    ];
    for (block, class) in blocks {
        let block: IpNet = block.parse().unwrap();
        for address in [block.network(), block.broadcast()] {
            // The whole of 4000::/3 is reserved, segment routing inside it included.
            let found = class_of(address);
            assert_eq!(found, Some(*class), "{address} of {block}");
            assert!(closed().check("host", address).is_err(), "{address}");
        }
    }
    for public in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:db7:ffff::",
        "2001:db9::",
        "2003::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80b::200e",
        "3ffe:ffff::",
        "3fff:1000::",
    ] {
        assert_eq!(class_of(ip(public)), None, "{public}");
        assert_eq!(closed().check("host", ip(public)), Ok(()), "{public}");
    }
}

/// Spellings that have got past guards that looked at the text.
#[test]
fn no_spelling_of_an_address_gets_past_registration() {
    let forbidden = [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://0177.0x0.1/",
        "http://127.0.0.1./",
        "http://0/",
        "http://0.0.0.0/",
        "http://00000/",
        "http://[::]/",
        "http://[::1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::127.0.0.1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:127.0.0.1]/",
        "http://[::ffff:0:127.0.0.1]/",
        "http://[::ffff:8.8.8.8]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[2001:0:7f00:1::]/",
        "http://[2001::80ff:fffe]/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
        "http://[5f00::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://10.0.0.1/",
        "http://10.1/",
        "http://172.16.0.1/",
        "http://192.168.1/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://localhost/",
        "http://LOCALHOST/",
        "http://localhost./",
        "http://a.localhost:8080/",
        "http://%31%32%37.0.0.1/",
        "http://127%2e0%2e0%2e1/",
        "http://１２７.０.０.１/",
        "http://127。0。0。1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://loc\u{ad}alhost/",
        "http:\\\\127.0.0.1\\",
        "http:127.0.0.1",
        "http:///127.0.0.1/",
        "  http://127.0.0.1/  ",
        "http://127.0.\t0.1/",
        "http://127.0.0.1:80#@receiver.example/",
        "http://127.0.0.1\\@receiver.example/",
    ];
    for text in forbidden {
        let parsed = Target::parse(text, &closed());
        assert!(
            matches!(parsed, Err(Refused::Address { .. })),
            "{text}: {parsed:?}"
        );
    }
    let malformed = [
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1]%lo/",
        "http://user@receiver.example/",
        "http://user:password@127.0.0.1/",
        "http://:password@receiver.example/",
        "http://receiver.example@127.0.0.1/",
        "http://127.0.0.1@receiver.example/",
        "http://256.256.256.256/",
        "http://1.2.3.4.5/",
        "http://0x100000000/",
        "http://127.0.0.0x100/",
        "http://receiver.example:99999/",
        "http://",
        "http://./",
        "http://../",
        "http://127.0.0.1../",
        "http://localhost../",
        "http://receiver..example/",
        "http:// /",
        "http://a b/",
        "http://[::1/",
        "http://::1/",
        "file:///etc/passwd",
        "gopher://receiver.example/",
        "ftp://receiver.example/",
        "javascript:alert(1)",
        "unix:/run/docker.sock",
        "//receiver.example/",
        "receiver.example",
        "",
    ];
    for text in malformed {
        let parsed = Target::parse(text, &closed());
        assert!(
            matches!(
                parsed,
                Err(Refused::Url(_) | Refused::Scheme | Refused::UserInfo)
            ),
            "{text}: {parsed:?}"
        );
    }
    let long = format!("http://receiver.example/{}", "x".repeat(2_048));
    assert_eq!(Target::parse(&long, &closed()), Err(Refused::Length));
}

#[test]
fn a_public_receiver_is_taken_and_written_in_one_way() {
    let table = [
        (
            "https://receiver.example/hook",
            "https://receiver.example/hook",
        ),
        (
            "HTTPS://Receiver.Example./hook#part",
            "https://receiver.example/hook",
        ),
        ("http://1.1.1.1:8080/?a=b", "http://1.1.1.1:8080/?a=b"),
        (
            "http://[2606:4700:4700::1111]/",
            "http://[2606:4700:4700::1111]/",
        ),
        ("http://bücher.example", "http://xn--bcher-kva.example/"),
    ];
    for (text, expected) in table {
        let target = Target::parse(text, &closed()).unwrap();
        assert_eq!(target.as_str(), expected);
    }
}

#[tokio::test]
async fn a_name_is_judged_by_each_answer_at_each_dial() {
    let public = ip("93.184.216.34");
    let guard = resolves(
        &[
            &[public],
            &[ip("127.0.0.1")],
            &[ip("10.0.0.1"), public],
            &[],
        ],
        Allow::none(),
    );
    assert!(Target::parse("http://receiver.example/", &guard).is_ok());
    let dial = || guard.dialable("receiver.example", 80);
    assert_eq!(dial().await.unwrap(), [public]);
    assert!(
        matches!(
            dial().await,
            Err(DialError::Refused(Refused::Address { .. }))
        ),
        "the name has been bound to loopback since"
    );
    assert_eq!(
        dial().await.unwrap(),
        [public],
        "the private answer is left out"
    );
    assert!(matches!(dial().await, Err(DialError::Resolve { .. })));
    assert!(guard.dialable("elsewhere.example", 80).await.is_err());
}

#[tokio::test]
async fn literals_are_judged_at_the_dial_too() {
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
    ] {
        assert!(
            matches!(
                closed().dialable(host, 80).await,
                Err(DialError::Refused(_))
            ),
            "{host}"
        );
    }
    assert_eq!(
        closed().dialable("1.1.1.1", 80).await.unwrap(),
        [ip("1.1.1.1")]
    );
}

fn networks(values: &[&str]) -> Allow {
    values.iter().fold(Allow::none(), |allow, value| {
        allow.network(value.parse().unwrap())
    })
}

#[test]
fn allow_opens_what_it_says_and_nothing_beside() {
    let may = |guard: &Guard, host: &str, address| guard.check(host, ip(address)).is_ok();

    let guard = Guard::new(Allow::loopback());
    assert!(may(&guard, "localhost", "127.0.0.1") && may(&guard, "localhost", "::1"));
    assert!(!may(&guard, "x", "10.0.0.1") && !may(&guard, "x", "::ffff:127.0.0.1"));

    let guard = Guard::new(Allow::none());
    assert!(!may(&guard, "localhost", "127.0.0.1") && may(&guard, "x", "1.1.1.1"));

    let opened = networks(&["10.1.0.0/16", "192.168.7.7/32", "fd00::/8"]);
    let guard = Guard::new(opened.host("Build.Internal."));
    assert!(may(&guard, "x", "10.1.2.3") && !may(&guard, "x", "10.2.0.1"));
    assert!(may(&guard, "x", "192.168.7.7") && !may(&guard, "x", "192.168.7.8"));
    assert!(may(&guard, "build.internal", "172.16.0.1"));
    assert!(!may(&guard, "evil.build.internal", "172.16.0.1"));
    assert!(may(&guard, "x", "fd12::1") && !may(&guard, "x", "127.0.0.1"));

    // The road is open, what lies behind it still isn't.
    let roads = ["64:ff9b::/96", "2002::/16", "2001::/32", "64:ff9b:1::/48"];
    let guard = Guard::new(networks(&roads));
    assert!(may(&guard, "x", "64:ff9b::8.8.8.8") && !may(&guard, "x", "64:ff9b::127.0.0.1"));
    assert!(may(&guard, "x", "2002:808:808::") && !may(&guard, "x", "2002:a00:1::"));
    assert!(!may(&guard, "x", "2001:0:808:808::80ff:fffe"));
    assert!(!may(&guard, "x", "64:ff9b:1:7f00:0:100::"));
}

/// Every way of writing an IPv4 address as a host that some parser somewhere understands.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let bits = address.to_bits();
    let (cd, bcd) = (bits & 0xffff, bits & 0xff_ffff);
    let inverted = !bits;
    let high = |bits: u32| bits >> 16;
    let low = |bits: u32| bits & 0xffff;
    vec![
        format!("{a}.{b}.{c}.{d}"),
        format!("{a}.{b}.{c}.{d}."),
        format!("{a}.{b}.{cd}"),
        format!("{a}.{bcd}"),
        format!("{bits}"),
        format!("0x{bits:x}"),
        format!("0X{bits:08X}"),
        format!("0{bits:o}"),
        format!("0x{a:x}.0{b:o}.{c}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("%3{}{}", a / 100, &format!("{a}.{b}.{c}.{d}")[1..]),
        format!("[::{address}]"),
        format!("[::ffff:{address}]"),
        format!("[::ffff:{:x}:{:x}]", high(bits), low(bits)),
        format!("[::ffff:0:{address}]"),
        format!("[64:ff9b::{address}]"),
        format!("[64:ff9b:1::{address}]"),
        format!(
            "[64:ff9b:1:{:x}:{:x}:{:x}00::]",
            high(bits),
            low(bits) >> 8,
            low(bits) & 0xff
        ),
        format!("[2002:{:x}:{:x}::1]", high(bits), low(bits)),
        format!("[2001:0:{:x}:{:x}::1]", high(bits), low(bits)),
        format!("[2001::{:x}:{:x}]", high(inverted), low(inverted)),
    ]
}

fn forbidden_v4() -> impl Strategy<Value = Ipv4Addr> {
    let blocks = [
        (0x0000_0000_u32, 8),
        (0x0a00_0000, 8),
        (0x6440_0000, 10),
        (0x7f00_0000, 8),
        (0xa9fe_0000, 16),
        (0xac10_0000, 12),
        (0xc0a8_0000, 16),
        (0xc612_0000, 15),
        (0xe000_0000, 4),
        (0xf000_0000, 4),
    ];
    (prop::sample::select(blocks.to_vec()), any::<u32>()).prop_map(|((network, length), bits)| {
        Ipv4Addr::from_bits(network | (bits & (u32::MAX >> length)))
    })
}

proptest! {
    #[test]
    fn no_spelling_of_a_forbidden_address_is_called(address in forbidden_v4()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for host in spellings(address) {
            let registered = Target::parse(&format!("http://{host}/hook"), &closed());
            prop_assert!(registered.is_err(), "{host} was registered as {registered:?}");
            let dialed = runtime.block_on(closed().dialable(&host, 80));
            prop_assert!(dialed.is_err(), "{host} was dialed at {dialed:?}");
        }
    }

    #[test]
    fn no_answer_of_a_resolver_leads_to_a_forbidden_address(address in forbidden_v4()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for host in spellings(address) {
            // What a name server can answer is an address; each spelling that is one is tried as an answer.
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let Ok(answer) = bare.parse::<IpAddr>() else { continue };
            let guard = resolves(&[&[answer]], Allow::none());
            let dialed = runtime.block_on(guard.dialable("receiver.example", 80));
            prop_assert!(dialed.is_err(), "{answer} was dialed");
        }
    }

    #[test]
    fn opening_a_translated_range_never_opens_what_lies_behind_it(address in forbidden_v4()) {
        let roads = ["::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"];
        let guard = Guard::new(networks(&roads));
        // `0.0.0.0/8` has spellings that are the unspecified or the loopback address of IPv6 itself.
        prop_assume!(address.octets()[0] != 0);
        for host in spellings(address) {
            prop_assert!(Target::parse(&format!("http://{host}/"), &guard).is_err(), "{host}");
        }
    }

    #[test]
    fn whatever_passes_is_public_whatever_the_text(text in "(http://)?[0-9a-fx.:%\\[\\]@/]{1,40}") {
        if let Ok(target) = Target::parse(&text, &closed()) {
            let url = Url::parse(target.as_str()).unwrap();
            match url.host().unwrap() {
                Host::Ipv4(address) => prop_assert_eq!(class_of(address.into()), None),
                Host::Ipv6(address) => prop_assert_eq!(class_of(address.into()), None),
                Host::Domain(name) => prop_assert!(!name.ends_with('.')),
            }
            prop_assert!(url.username().is_empty() && url.password().is_none());
        }
    }

    #[test]
    fn no_ipv6_address_outside_the_public_range_passes(bits: u128) {
        let address = IpAddr::V6(Ipv6Addr::from_bits(bits));
        if class_of(address).is_none() {
            prop_assert_eq!(bits >> 125, 1, "{}", address);
        }
    }
}

#[test]
fn a_server_never_calls_itself_however_it_is_spelled() {
    let guard = Guard::new(Allow::loopback()).of_server(["127.0.0.1:8080".parse().unwrap()]);
    let refused =
        |guard: &Guard, url: &str| matches!(Target::parse(url, guard), Err(Refused::Own(_)));
    for url in [
        "http://127.0.0.1:8080/",
        "http://localhost:8080/jobs",
        "http://LOCALHOST.:8080/",
        "http://2130706433:8080/",
        "http://0x7f.1:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
        "http://0.0.0.0:8080/",
    ] {
        assert!(refused(&guard, url), "{url}");
    }
    assert!(Target::parse("http://127.0.0.1:8081/", &guard).is_ok());
    let everywhere = Guard::new(Allow::loopback()).of_server(["0.0.0.0:80".parse().unwrap()]);
    assert!(refused(&everywhere, "http://127.0.0.9/"));
    // What leads to another address of this machine is known once it is connected.
    let everywhere = Guard::new(Allow::none()).of_server(["[::]:80".parse().unwrap()]);
    for (here, there, own) in [
        ("10.0.0.7:40000", "10.0.0.7:80", true),
        ("[::ffff:10.0.0.7]:40000", "10.0.0.7:80", true),
        ("[2001:db8::7]:40000", "[2001:db8::7]:80", true),
        ("10.0.0.7:40000", "10.0.0.7:81", false),
        ("10.0.0.7:40000", "10.0.0.8:80", false),
    ] {
        let found = everywhere.is_own(here.parse().unwrap(), there.parse().unwrap());
        assert_eq!(found, own, "{here} to {there}");
    }
    assert!(!guard.is_own(
        "127.0.0.1:40000".parse().unwrap(),
        "127.0.0.1:9".parse().unwrap()
    ));
}

#[tokio::test]
async fn a_name_that_leads_to_the_server_isnt_dialed_even_if_it_is_trusted() {
    let here: &[IpAddr] = &[ip("127.0.0.1")];
    let guard = resolves(&[here, here], Allow::none().host("receiver.example"))
        .of_server(["127.0.0.1:8080".parse().unwrap()]);
    let own = guard.dialable("receiver.example", 8080).await;
    assert!(matches!(own, Err(DialError::Refused(Refused::Own(_)))));
    assert!(guard.dialable("receiver.example", 8081).await.is_ok());
}

#[test]
fn loopback_is_open_to_a_server_on_loopback_without_keys_alone() {
    let allow = |flags: &[(&str, &str)]| {
        let layers = flags
            .iter()
            .fold(Layers::default(), |layers, (name, value)| {
                layers.flag(*name, *value)
            });
        Guard::new(Allow::of(&layers.resolve().unwrap().config))
    };
    let may = |flags: &[(&str, &str)]| allow(flags).check("x", ip("127.0.0.1")).is_ok();
    let key = ("api-key", "alpha-0123456789-alpha");
    assert!(may(&[]));
    assert!(!may(&[key]));
    let nowhere = Target::parse("http://receiver.example:0/", &allow(&[]));
    assert!(matches!(nowhere, Err(Refused::Url(_))), "{nowhere:?}");
    assert!(!may(&[("trusted-proxy", "127.0.0.1")]));
    assert!(may(&[key, ("webhook-allow", "127.0.0.0/8")]));
    assert!(!may(&[
        ("listen", "0.0.0.0:80"),
        ("allow-anonymous", "true")
    ]));
    // One listener that others reach is enough.
    assert!(!may(&[
        ("listen", "127.0.0.1:80,other=0.0.0.0:81"),
        ("allow-anonymous", "true")
    ]));
    assert!(may(&[("listen", "127.0.0.1:80,other=127.0.0.1:81")]));
    assert!(!may(&[("webhook-allow", "none")]));
}
