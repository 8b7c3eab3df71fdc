# One static binary in an empty image: docker build -t poe2openai . && docker run -p 8080:8080 poe2openai --demo

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# An explicit --target keeps RUSTFLAGS away from build scripts and proc macros, which cannot be linked statically.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" \
 && install -D "target/$target/release/poe2openai" image/poe2openai \
 && mkdir -p image/data

FROM scratch
LABEL org.opencontainers.image.title=poe2openai \
      org.opencontainers.image.description="OpenAI-, Anthropic- and Ollama-compatible API for Poe" \
      org.opencontainers.image.licenses=MIT \
      org.opencontainers.image.source=https://github.com/poe2openai/poe2openai
COPY --from=build /src/image/poe2openai /poe2openai
COPY --from=build --chown=65534:65534 /src/image/data /data
USER 65534:65534
ENV HOST=0.0.0.0 CONFIG_DIR=/data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/poe2openai", "healthcheck"]
ENTRYPOINT ["/poe2openai"]
