use std::collections::BTreeMap;

use proptest::prelude::{Strategy, any, proptest};
use proptest::{collection, option, prop_assert, sample};

use super::*;

fn endpoint(names: &[&str], ipv4: Option<&str>, ipv6: Option<&str>) -> NamedEndpoint {
    NamedEndpoint {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ipv4: ipv4.map(|text| text.parse().expect("an address")),
        ipv6: ipv6.map(|text| text.parse().expect("an address")),
    }
}

fn view(networks: &[&str], external: bool, links: &[(&str, &[&str])]) -> NameView {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NameView {
        networks: networks.iter().map(|name| name.parse().expect("a name")).collect(),
        links: links.iter().map(|(alias, names)| ((*alias).to_owned(), owned(names))).collect(),
        external,
        servers: Vec::new(),
    }
}

/// A shop: `web` twice on `shop_front`, `db` on `shop_back`, `api` on both, and a network with a dot in its
/// name.
fn shop() -> NameTable {
    let front = vec![
        endpoint(&["shop-web-1", "web", "www.shop"], Some("10.1.0.2"), None),
        endpoint(&["shop-web-2", "web"], Some("10.1.0.3"), None),
        endpoint(&["shop-api-1", "api"], Some("10.1.0.4"), Some("fd01::4")),
    ];
    let back = vec![
        endpoint(&["shop-api-1", "api"], Some("10.2.0.4"), None),
        endpoint(&["shop-db-1", "db"], Some("10.2.0.5"), None),
        endpoint(&["shop-six-1", "six"], None, Some("fd02::6")),
    ];
    let other = vec![endpoint(&["lone-one-1", "one"], Some("10.3.0.2"), None)];
    let networks = [("shop_front", front), ("shop_back", back), ("Lone.net", other)];
    let views = [
        ("shop-web-1", view(&["shop_front"], true, &[])),
        ("shop-api-1", view(&["shop_back", "shop_front"], true, &[])),
        ("shop-db-1", view(&["shop_back"], false, &[])),
        ("linked", view(&["shop_front", "shop_back"], true, &[("cache", &["db"]), ("web", &["api"])])),
        ("twice", view(&["shop_front"], true, &[("all", &["web", "shop-web-1"]), ("gone", &["stopped"])])),
        ("shadowed", view(&["shop_front"], true, &[("web.shop_front", &["stopped"])])),
        ("dotted", view(&["Lone.net"], true, &[("gone.example.com", &["stopped"])])),
        ("nowhere", view(&[], false, &[])),
    ];
    NameTable {
        networks: networks.into_iter().map(|(name, ends)| (name.parse().expect("a name"), ends)).collect(),
        views: views.into_iter().map(|(name, view)| (name.parse().expect("a name"), view)).collect(),
    }
}

/// Asks the shop's table as `instance`; addresses come sorted, as text.
fn ask(instance: &str, name: &str, kind: Kind) -> String {
    ask_in(&shop(), instance, name, kind)
}

fn ask_in(names: &NameTable, instance: &str, name: &str, kind: Kind) -> String {
    let table = Table::compile(names);
    let view = table.view(&instance.parse().expect("a name")).expect("the table has it");
    match view.lookup(&Question { name: name.to_owned(), kind }, 0) {
        Answer::Addresses(mut addresses) => {
            addresses.sort();
            addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
        }
        Answer::Names(names) => names.join(" "),
        Answer::Empty => "empty".to_owned(),
        Answer::Unknown => "unknown".to_owned(),
        Answer::Forward => "forward".to_owned(),
    }
}

#[test]
fn names_are_found_on_the_askers_networks_in_their_order() {
    let cases = [
        ("shop-web-1", "web", Kind::A, "10.1.0.2 10.1.0.3"),
        ("shop-web-1", "shop-web-2", Kind::A, "10.1.0.3"),
        ("shop-web-1", "api", Kind::A, "10.1.0.4"),
        ("shop-web-1", "db", Kind::A, "unknown"),
        // The first network that knows the name wins, even if another one had the wanted family.
        ("shop-api-1", "api", Kind::A, "10.2.0.4"),
        ("shop-api-1", "api", Kind::Aaaa, "empty"),
        ("shop-db-1", "web", Kind::A, "unknown"),
        ("nowhere", "web", Kind::A, "unknown"),
    ];
    for (instance, name, kind, expected) in cases {
        assert_eq!(ask(instance, name, kind), expected, "{instance} asks for {name}");
    }
}

#[test]
fn a_dotted_name_is_first_a_name_and_then_a_name_on_a_network() {
    let cases = [
        ("shop-web-1", "www.shop", "10.1.0.2"),
        ("shop-web-1", "www.shop.shop_front", "10.1.0.2"),
        ("shop-api-1", "api.shop_front", "10.1.0.4"),
        ("shop-api-1", "api.shop_back", "10.2.0.4"),
        ("shop-web-1", "api.shop_back", "forward"),
        ("dotted", "one.lone.net", "10.3.0.2"),
        ("dotted", "lone-one-1.lone.net", "10.3.0.2"),
        ("dotted", "two.lone.net", "forward"),
    ];
    for (instance, name, expected) in cases {
        assert_eq!(ask(instance, name, Kind::A), expected, "{instance} asks for {name}");
    }
}

#[test]
fn links_come_before_names_and_give_all_their_targets_once() {
    let cases = [
        ("linked", "cache", "10.2.0.5"),
        ("linked", "cache.shop_back", "10.2.0.5"),
        ("linked", "web", "10.1.0.4"),
        ("linked", "db", "10.2.0.5"),
        ("twice", "all", "10.1.0.2 10.1.0.3"),
        ("twice", "gone", "unknown"),
        ("dotted", "gone.example.com", "unknown"),
        // A link without targets hides nothing that the name means beside it.
        ("shadowed", "web.shop_front", "10.1.0.2 10.1.0.3"),
        ("shop-api-1", "cache", "unknown"),
    ];
    for (instance, name, expected) in cases {
        assert_eq!(ask(instance, name, Kind::A), expected, "{instance} asks for {name}");
    }
}

#[test]
fn a_known_name_without_the_wanted_record_is_empty_and_never_unknown() {
    let cases = [
        ("shop-web-1", "web", Kind::Aaaa, "empty"),
        ("shop-web-1", "web", Kind::Other, "empty"),
        ("shop-web-1", "web", Kind::Zone, "empty"),
        ("shop-web-1", "api", Kind::Aaaa, "fd01::4"),
        ("shop-db-1", "six", Kind::A, "empty"),
        ("shop-db-1", "six", Kind::Aaaa, "fd02::6"),
        ("linked", "cache", Kind::Aaaa, "empty"),
    ];
    for (instance, name, kind, expected) in cases {
        assert_eq!(ask(instance, name, kind), expected, "{instance} asks for {name}");
    }
}

#[test]
fn addresses_have_the_first_name_and_the_network_of_who_has_them() {
    let reverse = |text: &str| Kind::Reverse(text.parse().expect("an address"));
    let cases = [
        ("shop-web-1", "10.1.0.3", "shop-web-2.shop_front"),
        ("shop-web-1", "fd01::4", "shop-api-1.shop_front"),
        ("shop-web-1", "10.2.0.5", "forward"),
        ("shop-db-1", "10.1.0.2", "unknown"),
        ("dotted", "10.3.0.2", "lone-one-1.Lone.net"),
    ];
    for (instance, address, expected) in cases {
        assert_eq!(ask(instance, "x.arpa", reverse(address)), expected, "{instance} asks for {address}");
    }
}

#[test]
fn only_dotted_names_leave_and_only_from_an_instance_with_a_way_out() {
    let mut names = shop();
    let own = NameView { servers: vec![IpAddr::from([10, 2, 0, 5])], ..view(&["shop_back"], false, &[]) };
    names.views.insert("own".parse().expect("a name"), own);
    let cases = [
        ("shop-web-1", "www.example.com", Kind::A, "forward"),
        ("shop-web-1", "www.example.com", Kind::Other, "forward"),
        ("shop-web-1", "nobody", Kind::A, "unknown"),
        ("shop-web-1", "nobody", Kind::Other, "unknown"),
        ("shop-web-1", "com", Kind::Zone, "forward"),
        ("shop-web-1", "", Kind::Zone, "forward"),
        ("shop-db-1", "www.example.com", Kind::A, "unknown"),
        ("shop-db-1", "com", Kind::Zone, "unknown"),
        ("own", "www.example.com", Kind::A, "forward"),
        ("own", "nobody", Kind::A, "unknown"),
    ];
    for (instance, name, kind, expected) in cases {
        assert_eq!(ask_in(&names, instance, name, kind), expected, "{instance} asks for {name}");
    }
}

#[test]
fn each_replica_comes_first_about_as_often_as_the_others() {
    let addresses: Vec<IpAddr> = (1..=3).map(|last| IpAddr::from([10, 0, 0, last])).collect();
    let mut first = BTreeMap::new();
    for seed in 0..3000 {
        *first.entry(shuffled(addresses.clone(), seed)[0]).or_insert(0) += 1;
    }
    assert!(first.len() == 3 && first.values().all(|count| (800..1200).contains(count)), "{first:?}");
}

/// Names with and without dots, in both cases, from a few letters so that they often meet.
fn any_name() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[aB](\\.[aB]){0,3}").expect("a regular expression")
}

/// Tables over networks `a`, `B` and `a.B`; the second byte of an address tells its network.
fn any_table() -> impl Strategy<Value = NameTable> {
    let networks = ["a", "B", "a.B"];
    let endpoint = (collection::vec(any_name(), 0..3), any::<bool>(), any::<bool>());
    let endpoints = collection::vec(collection::vec(endpoint, 0..4), 3);
    let links = collection::btree_map(any_name(), collection::vec(any_name(), 0..3), 0..3);
    let own = option::of(sample::subsequence(networks.to_vec(), 0..=3));
    (endpoints, links, own, any::<bool>()).prop_map(move |(endpoints, links, own, external)| {
        let mut table = NameTable::default();
        for (index, ends) in endpoints.into_iter().enumerate() {
            let make = |(number, (names, four, six)): (usize, (Vec<String>, bool, bool))| NamedEndpoint {
                names,
                ipv4: four.then(|| Ipv4Addr::new(10, index as u8, 0, number as u8)),
                ipv6: six.then(|| Ipv6Addr::new(0xfd00, index as u16, 0, 0, 0, 0, 0, number as u16)),
            };
            let ends = ends.into_iter().enumerate().map(make).collect();
            table.networks.insert(networks[index].parse().expect("a name"), ends);
        }
        let own = own.unwrap_or_default();
        let networks = own.iter().map(|name| name.parse().expect("a name")).collect();
        let view = NameView { networks, links, external, servers: Vec::new() };
        table.views.insert("asker".parse().expect("a name"), view);
        table
    })
}

proptest! {
    #[test]
    fn no_answer_comes_from_a_network_that_the_asker_is_not_on(
        names in any_table(), name in any_name(), seed: u64, network in 0_u8..3, host in 0_u8..4,
    ) {
        let table = Table::compile(&names);
        let asker = "asker".parse().expect("a name");
        let view = table.view(&asker).expect("the table has it");
        let own: Vec<u8> = ["a", "B", "a.B"].iter().zip(0..)
            .filter(|(name, _)| names.views[&asker].networks.iter().any(|own| own.as_str() == **name))
            .map(|(_, index)| index).collect();
        let reverse = Kind::Reverse(IpAddr::from([10, network, 0, host]));
        for kind in [Kind::A, Kind::Aaaa, Kind::Other, reverse] {
            let question = Question { name: name.to_ascii_lowercase(), kind };
            match view.lookup(&question, seed) {
                Answer::Addresses(addresses) => for address in addresses {
                    let from = match address {
                        IpAddr::V4(address) => address.octets()[1],
                        IpAddr::V6(address) => address.octets()[3],
                    };
                    prop_assert!(own.contains(&from), "{address} from network {from}, own are {own:?}");
                },
                Answer::Names(_) => prop_assert!(own.contains(&network)),
                Answer::Empty | Answer::Unknown | Answer::Forward => {}
            }
        }
    }
}
