# A small, static image that runs as nobody.
#   docker build -t abide . && docker run -p 8080:8080 -v abide:/data -e ABIDE_API_KEYS abide serve --listen 0.0.0.0:8080
FROM rust:1.95-alpine AS build
RUN apk add --no-cache musl-dev ca-certificates
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked -p abide-cli && mkdir -m 700 /data

FROM scratch
COPY --from=build /src/target/dist/abide /abide
# Whom to trust when a webhook goes to an https address.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65534:65534 /data /data
USER 65534:65534
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENV ABIDE_DATA=/data ABIDE_LOG_FORMAT=json
HEALTHCHECK --interval=30s --timeout=5s CMD ["/abide", "healthcheck"]
ENTRYPOINT ["/abide"]
CMD ["serve"]
