#!/bin/sh
docker pull vllm/vllm-openai:latest
