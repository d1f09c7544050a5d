//! The words for where a parcel is: status, sub-status and direction.
//!
//! The wire knows them by their upper snake case names. A word nobody knows reads as [`Status::Unknown`], never as a
//! likely guess.

use serde::{Deserialize, Serialize};

/// Defines a closed list of words: the enum, its names on the wire, and the way back.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every word of the list.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The word with this exact name on the wire.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// Where a parcel is.
    Status {
        /// Nothing is known yet, or the carrier's code is one that nobody mapped.
        Unknown = "UNKNOWN",
        /// The carrier does not know the number yet.
        Pending = "PENDING",
        /// The carrier has the shipment's data, not the parcel.
        InfoReceived = "INFO_RECEIVED",
        InTransit = "IN_TRANSIT",
        OutForDelivery = "OUT_FOR_DELIVERY",
        AvailableForPickup = "AVAILABLE_FOR_PICKUP",
        /// With the addressee; what came back to the sender is [`Status::Returned`].
        Delivered = "DELIVERED",
        /// A delivery was tried and failed; another may follow.
        AttemptFailed = "ATTEMPT_FAILED",
        Exception = "EXCEPTION",
        /// On its way back to the sender.
        Returning = "RETURNING",
        /// Back with the sender.
        Returned = "RETURNED",
        Cancelled = "CANCELLED",
        /// No news for so long that checking ended.
        Expired = "EXPIRED",
    }
}

impl Status {
    /// Whether nothing more is expected, so that checking ends.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Delivered | Self::Returned | Self::Cancelled | Self::Expired
        )
    }
}

words! {
    /// Which way the parcel travels.
    Direction {
        Forward = "FORWARD",
        Return = "RETURN",
    }
}

words! {
    /// What lies behind a status: the union of what the big aggregators tell apart
    /// (AfterShip subtags, 17TRACK sub statuses, EasyPost status details, Karrio reasons; read November 2026).
    SubStatus {
        PendingNotFound = "PENDING_NOT_FOUND",
        PendingInvalidNumber = "PENDING_INVALID_NUMBER",
        InfoReceivedLabelCreated = "INFO_RECEIVED_LABEL_CREATED",
        InfoReceivedAwaitingParcel = "INFO_RECEIVED_AWAITING_PARCEL",
        InTransitAccepted = "IN_TRANSIT_ACCEPTED",
        InTransitArrived = "IN_TRANSIT_ARRIVED",
        InTransitDeparted = "IN_TRANSIT_DEPARTED",
        InTransitArrivedAtDestinationCountry = "IN_TRANSIT_ARRIVED_AT_DESTINATION_COUNTRY",
        InTransitArrivedAtDestination = "IN_TRANSIT_ARRIVED_AT_DESTINATION",
        InTransitExported = "IN_TRANSIT_EXPORTED",
        InTransitImported = "IN_TRANSIT_IMPORTED",
        InTransitSorted = "IN_TRANSIT_SORTED",
        InTransitCustomsProcessing = "IN_TRANSIT_CUSTOMS_PROCESSING",
        InTransitCustomsCleared = "IN_TRANSIT_CUSTOMS_CLEARED",
        InTransitCustomsInformationRequired = "IN_TRANSIT_CUSTOMS_INFORMATION_REQUIRED",
        InTransitTransferredToCarrier = "IN_TRANSIT_TRANSFERRED_TO_CARRIER",
        InTransitForwarded = "IN_TRANSIT_FORWARDED",
        InTransitProblemResolved = "IN_TRANSIT_PROBLEM_RESOLVED",
        OutForDeliveryWithCourier = "OUT_FOR_DELIVERY_WITH_COURIER",
        OutForDeliveryAppointment = "OUT_FOR_DELIVERY_APPOINTMENT",
        AvailableForPickupAtPoint = "AVAILABLE_FOR_PICKUP_AT_POINT",
        AvailableForPickupInLocker = "AVAILABLE_FOR_PICKUP_IN_LOCKER",
        AttemptFailedAddresseeNotAvailable = "ATTEMPT_FAILED_ADDRESSEE_NOT_AVAILABLE",
        AttemptFailedBusinessClosed = "ATTEMPT_FAILED_BUSINESS_CLOSED",
        AttemptFailedAccessRestricted = "ATTEMPT_FAILED_ACCESS_RESTRICTED",
        AttemptFailedInvalidAddress = "ATTEMPT_FAILED_INVALID_ADDRESS",
        AttemptFailedRefused = "ATTEMPT_FAILED_REFUSED",
        AttemptFailedVerification = "ATTEMPT_FAILED_VERIFICATION",
        DeliveredToAddressee = "DELIVERED_TO_ADDRESSEE",
        DeliveredAtPickupPoint = "DELIVERED_AT_PICKUP_POINT",
        DeliveredSigned = "DELIVERED_SIGNED",
        DeliveredCodReceived = "DELIVERED_COD_RECEIVED",
        DeliveredToNeighbour = "DELIVERED_TO_NEIGHBOUR",
        DeliveredToSafePlace = "DELIVERED_TO_SAFE_PLACE",
        ExceptionMoved = "EXCEPTION_MOVED",
        ExceptionRefused = "EXCEPTION_REFUSED",
        ExceptionCustomsDelay = "EXCEPTION_CUSTOMS_DELAY",
        ExceptionCustomsDocumentation = "EXCEPTION_CUSTOMS_DOCUMENTATION",
        ExceptionCustomsDutiesUnpaid = "EXCEPTION_CUSTOMS_DUTIES_UNPAID",
        ExceptionDelayed = "EXCEPTION_DELAYED",
        ExceptionWeatherDelay = "EXCEPTION_WEATHER_DELAY",
        ExceptionHeldForPayment = "EXCEPTION_HELD_FOR_PAYMENT",
        ExceptionHeld = "EXCEPTION_HELD",
        ExceptionInvalidAddress = "EXCEPTION_INVALID_ADDRESS",
        ExceptionPickupMissed = "EXCEPTION_PICKUP_MISSED",
        ExceptionRejectedByCarrier = "EXCEPTION_REJECTED_BY_CARRIER",
        ExceptionMissorted = "EXCEPTION_MISSORTED",
        ExceptionDamaged = "EXCEPTION_DAMAGED",
        ExceptionLost = "EXCEPTION_LOST",
        ExceptionDestroyed = "EXCEPTION_DESTROYED",
        ExceptionSeized = "EXCEPTION_SEIZED",
        ExceptionSecurity = "EXCEPTION_SECURITY",
        ExceptionNobodyFound = "EXCEPTION_NOBODY_FOUND",
        ReturningStorageExpired = "RETURNING_STORAGE_EXPIRED",
        ReturningRefused = "RETURNING_REFUSED",
        ReturningUndeliverable = "RETURNING_UNDELIVERABLE",
        ReturnedToSender = "RETURNED_TO_SENDER",
        CancelledBySender = "CANCELLED_BY_SENDER",
        CancelledByCarrier = "CANCELLED_BY_CARRIER",
        ExpiredNoNews = "EXPIRED_NO_NEWS",
    }
}

impl SubStatus {
    /// The status this word refines.
    pub fn status(self) -> Status {
        // Longest names first would matter only if one status name were the prefix of another followed by `_`;
        // none is, and the test below holds that.
        Status::ALL
            .iter()
            .copied()
            .find(|status| {
                self.as_str()
                    .strip_prefix(status.as_str())
                    .is_some_and(|rest| rest.starts_with('_'))
            })
            .unwrap_or(Status::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, Status, SubStatus};

    #[test]
    fn every_word_reads_back_as_itself() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(*status));
        }
        for sub_status in SubStatus::ALL {
            assert_eq!(SubStatus::parse(sub_status.as_str()), Some(*sub_status));
        }
        for direction in Direction::ALL {
            assert_eq!(Direction::parse(direction.as_str()), Some(*direction));
        }
        assert_eq!(Status::parse("delivered"), None);
    }

    #[test]
    fn every_sub_status_refines_exactly_one_status() {
        for sub_status in SubStatus::ALL {
            let of = Status::ALL
                .iter()
                .filter(|status| sub_status.as_str().starts_with(&format!("{status}_")))
                .count();
            assert_eq!(of, 1, "{sub_status}");
            assert_ne!(sub_status.status(), Status::Unknown);
        }
    }

    /// The words of the wire and of the store: one that changes can no longer be read back.
    #[test]
    fn the_words_are_those_on_the_wire_and_in_the_store() {
        let status = "UNKNOWN PENDING INFO_RECEIVED IN_TRANSIT OUT_FOR_DELIVERY AVAILABLE_FOR_PICKUP DELIVERED \
         ATTEMPT_FAILED EXCEPTION RETURNING RETURNED CANCELLED EXPIRED";
        let direction = "FORWARD RETURN";
        let sub_status = "PENDING_NOT_FOUND PENDING_INVALID_NUMBER INFO_RECEIVED_LABEL_CREATED INFO_RECEIVED_AWAITING_PARCEL \
         IN_TRANSIT_ACCEPTED IN_TRANSIT_ARRIVED IN_TRANSIT_DEPARTED \
         IN_TRANSIT_ARRIVED_AT_DESTINATION_COUNTRY IN_TRANSIT_ARRIVED_AT_DESTINATION IN_TRANSIT_EXPORTED \
         IN_TRANSIT_IMPORTED IN_TRANSIT_SORTED IN_TRANSIT_CUSTOMS_PROCESSING IN_TRANSIT_CUSTOMS_CLEARED \
         IN_TRANSIT_CUSTOMS_INFORMATION_REQUIRED IN_TRANSIT_TRANSFERRED_TO_CARRIER IN_TRANSIT_FORWARDED \
         IN_TRANSIT_PROBLEM_RESOLVED OUT_FOR_DELIVERY_WITH_COURIER OUT_FOR_DELIVERY_APPOINTMENT \
         AVAILABLE_FOR_PICKUP_AT_POINT AVAILABLE_FOR_PICKUP_IN_LOCKER ATTEMPT_FAILED_ADDRESSEE_NOT_AVAILABLE \
         ATTEMPT_FAILED_BUSINESS_CLOSED ATTEMPT_FAILED_ACCESS_RESTRICTED ATTEMPT_FAILED_INVALID_ADDRESS \
         ATTEMPT_FAILED_REFUSED ATTEMPT_FAILED_VERIFICATION DELIVERED_TO_ADDRESSEE DELIVERED_AT_PICKUP_POINT \
         DELIVERED_SIGNED DELIVERED_COD_RECEIVED DELIVERED_TO_NEIGHBOUR DELIVERED_TO_SAFE_PLACE \
         EXCEPTION_MOVED EXCEPTION_REFUSED EXCEPTION_CUSTOMS_DELAY EXCEPTION_CUSTOMS_DOCUMENTATION \
         EXCEPTION_CUSTOMS_DUTIES_UNPAID EXCEPTION_DELAYED EXCEPTION_WEATHER_DELAY \
         EXCEPTION_HELD_FOR_PAYMENT EXCEPTION_HELD EXCEPTION_INVALID_ADDRESS EXCEPTION_PICKUP_MISSED \
         EXCEPTION_REJECTED_BY_CARRIER EXCEPTION_MISSORTED EXCEPTION_DAMAGED EXCEPTION_LOST \
         EXCEPTION_DESTROYED EXCEPTION_SEIZED EXCEPTION_SECURITY EXCEPTION_NOBODY_FOUND \
         RETURNING_STORAGE_EXPIRED RETURNING_REFUSED RETURNING_UNDELIVERABLE RETURNED_TO_SENDER \
         CANCELLED_BY_SENDER CANCELLED_BY_CARRIER EXPIRED_NO_NEWS";
        let written = |words: Vec<&'static str>| words.join(" ");
        assert_eq!(
            written(Status::ALL.iter().map(|word| word.as_str()).collect()),
            status
        );
        assert_eq!(
            written(Direction::ALL.iter().map(|word| word.as_str()).collect()),
            direction
        );
        assert_eq!(
            written(SubStatus::ALL.iter().map(|word| word.as_str()).collect()),
            sub_status
        );
        for word in SubStatus::ALL {
            assert_eq!(serde_json::json!(word), serde_json::json!(word.as_str()));
        }
    }
}
