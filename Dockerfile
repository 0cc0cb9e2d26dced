# Only the program, with the locked versions of what it imports: docker build -t reconcile .
FROM python:3.13-slim

WORKDIR /opt/reconcile
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/run.txt -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY reconcile reconcile
COPY docs/reconcile.1 docs/
COPY rules rules
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation .

# The project folder (rules/, output/, .reconcile/) is mounted here, and belongs to whoever runs the container.
WORKDIR /project
USER 1000:1000
ENTRYPOINT ["reconcile"]
CMD ["plan"]
