# Any Debian-like image with Node 24 and npm.
ARG BASE_IMAGE=node:24-bookworm-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# The base brings Node, so the npm package of that name need not fetch its own.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.ts scripts/
COPY src src
RUN node scripts/build.ts

FROM ${BASE_IMAGE} AS modules
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="waxseal" \
      org.opencontainers.image.description="Outbound DKIM-signing SMTP proxy without a queue" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"
COPY package.json LICENSE /opt/waxseal/
COPY config/default.yaml /opt/waxseal/config/
COPY --from=modules /src/node_modules /opt/waxseal/node_modules
COPY --from=build /src/dist /opt/waxseal/dist
RUN ln -s /opt/waxseal/dist/cli.js /usr/local/bin/waxseal && mkdir -p /etc/waxseal
ENV NODE_ENV=production
# Relative paths of the configuration start here: /etc/waxseal/keys, /etc/waxseal/secrets/master.key.
WORKDIR /etc/waxseal
USER 65532:65532
EXPOSE 2525
# No HEALTHCHECK: orchestrators probe the port themselves. Nothing writes to the root file system;
# give spool.dir (by default /tmp) a volume or a tmpfs when it is read-only.
ENTRYPOINT ["waxseal"]
CMD ["serve"]
