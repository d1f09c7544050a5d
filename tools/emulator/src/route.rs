//! Routes: the cities that an invented journey leads through.

const CITIES: [&str; 10] = [
    "Moscow",
    "Saint Petersburg",
    "Novosibirsk",
    "Yekaterinburg",
    "Kazan",
    "Samara",
    "Omsk",
    "Krasnodar",
    "Perm",
    "Vladivostok",
];

const CITIES_RU: [&str; 10] = [
    "Москва",
    "Санкт-Петербург",
    "Новосибирск",
    "Екатеринбург",
    "Казань",
    "Самара",
    "Омск",
    "Краснодар",
    "Пермь",
    "Владивосток",
];

/// The three cities of a journey.
pub struct Route {
    pub origin: &'static str,
    pub halfway: &'static str,
    pub destination: &'static str,
}

impl Route {
    /// Picks three different cities of Russia by `key`; in Russian for Russian Post.
    pub fn new(carrier: &str, mut key: u64) -> Self {
        let mut left = if carrier == "POST_RU" {
            CITIES_RU
        } else {
            CITIES
        }
        .to_vec();
        let mut pick = || {
            let count = left.len() as u64;
            let place = (key % count) as usize;
            key /= count;
            left.swap_remove(place)
        };
        Self {
            origin: pick(),
            halfway: pick(),
            destination: pick(),
        }
    }
}
