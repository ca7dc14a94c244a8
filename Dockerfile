# pixeld in a container: `docker build -t pixeld . && docker run -p 8000:8000 -v pixeld-data:/data pixeld`
#
# Events, keys and the admin token are in /data, which must be a volume that outlives the container.
# The admin listener is on 127.0.0.1 inside the container: `docker exec <container> pixeld client list` reaches it, and nothing
# else does. To reach it from outside, set PIXELD_ADMIN_HOST=0.0.0.0 and publish it to this machine only: -p 127.0.0.1:8001:8001
# It warns then that it has no TLS: other containers of its networks reach it. PIXELD_ADMIN_TLS_CERT and _KEY give it some.

FROM python:3.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# The dependencies change less often than the code, so that they have a layer of their own.
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY pixeld/__init__.py pixeld/
RUN python -m venv /opt/pixeld && /opt/pixeld/bin/pip install '.[embedded]' && /opt/pixeld/bin/pip uninstall --yes pixeld
COPY config/privacy.toml config/
COPY pixeld/ pixeld/
RUN rm -rf build ./*.egg-info && /opt/pixeld/bin/pip install --no-deps .

FROM python:3.14-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin pixeld \
    && install --directory --owner=pixeld --group=pixeld --mode=0700 /data
COPY --from=build /opt/pixeld /opt/pixeld
ENV PATH=/opt/pixeld/bin:$PATH PIXELD_DATA_DIR=/data PYTHONUNBUFFERED=1
WORKDIR /data
VOLUME /data
USER 10001
EXPOSE 8000 8001
# 18 s for an orderly end, and some more: `docker stop --time 25`
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 CMD ["python", "-c", "\
import http.client, os, ssl; \
at = '127.0.0.1', int(os.environ.get('PIXELD_ADMIN_PORT', 8001)); \
tls = os.environ.get('PIXELD_ADMIN_TLS_CERT'); \
context = ssl._create_unverified_context(); \
peer = http.client.HTTPSConnection(*at, timeout=3, context=context) if tls else http.client.HTTPConnection(*at, timeout=3); \
peer.request('GET', '/livez'); \
raise SystemExit(peer.getresponse().status != 200)"]
ENTRYPOINT ["pixeld"]
CMD ["serve"]
