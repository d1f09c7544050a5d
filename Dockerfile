# One image for every role: docker build -t trackbox .
#
# To use binaries that are built already, put trackbox, trackbox-emulator and trackbox-generator into dist/ and run
# docker build --build-arg BINARIES=ready -t trackbox .
ARG BINARIES=build

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# A layer with the dependencies alone, which is reused until a manifest changes.
COPY Cargo.toml Cargo.lock ./
COPY tools/bench/Cargo.toml tools/bench/
COPY tools/emulator/Cargo.toml tools/emulator/
COPY tools/generator/Cargo.toml tools/generator/
ENV PACKAGES="-p trackbox -p trackbox-emulator -p trackbox-generator"
RUN for part in . tools/bench tools/emulator tools/generator; do \
      mkdir -p $part/src && echo 'fn main() {}' > $part/src/main.rs && touch $part/src/lib.rs; \
    done && cargo build --release --locked $PACKAGES --bins
COPY . .
# Cargo compares times: sources older than the binaries of the empty programs above would not be built.
RUN find src tools -name '*.rs' -exec touch {} + && cargo build --release --locked $PACKAGES --bins \
    && mkdir /out && cp target/release/trackbox target/release/trackbox-emulator target/release/trackbox-generator /out/

FROM scratch AS ready
COPY dist/ /out/

FROM ${BINARIES} AS binaries

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --home-dir /var/lib/trackbox trackbox
COPY --from=binaries /out/ /usr/local/bin/
USER trackbox
# `trackbox all` keeps its SQLite file here, and reads config.toml from here.
WORKDIR /var/lib/trackbox
VOLUME /var/lib/trackbox
# Other machines may reach these, so nothing that needs a key is answered before there is one: `trackbox keys create`. To do
# without, set TRACKBOX_HTTP__OPEN=true; `all --demo` does.
ENV TRACKBOX_HTTP__LISTEN=0.0.0.0:8080 \
    TRACKBOX_WORK__LISTEN=0.0.0.0:8082 \
    TRACKBOX_CONSUME__LISTEN=0.0.0.0:8083
EXPOSE 8080 8082 8083
# On SIGTERM the program stops cleanly, within work.grace plus http.stop_wait plus two seconds.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 CMD ["trackbox", "health"]
ENTRYPOINT ["trackbox"]
CMD ["all"]
