# The container of an Amazon SageMaker endpoint or transform job: docs/hosting.md.
# `make image` makes what is copied here, so that the image is built without a
# compiler, an emulator or a network, for each architecture alike.
FROM gcr.io/distroless/cc-debian12:nonroot

ARG TARGETARCH

LABEL org.opencontainers.image.title="brainseg" \
      org.opencontainers.image.description="Segments brain tissue in MRI. Not a medical device." \
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true"

COPY dist/image/${TARGETARCH}/ /opt/brainseg/

# The service alone reaches the container; it says by IAM who may call.
ENV BRAINSEG_TRUSTED_ADDRESS=:8080
EXPOSE 8080

# Scans in work lie in /tmp. Nothing else is written.
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["/opt/brainseg/brainseg"]
CMD ["serve"]
