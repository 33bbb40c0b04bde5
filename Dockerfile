# A small, static image that runs as nobody.
#   docker build -t abide . && docker run -p 8080:8080 -v abide:/data abide serve --listen 0.0.0.0:8080 --api-key "$KEY"
FROM rust:1.95-alpine AS build
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked -p abide-cli && mkdir /data

FROM scratch
COPY --from=build /src/target/dist/abide /abide
COPY --from=build --chown=65534:65534 /data /data
USER 65534:65534
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENV ABIDE_DATA=/data ABIDE_LOG_FORMAT=json
ENTRYPOINT ["/abide"]
CMD ["serve"]
