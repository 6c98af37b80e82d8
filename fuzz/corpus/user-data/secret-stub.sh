#!/bin/sh
export MINT_EFS_ID='t0p~s3cr3t!'
export MINT_VM_NAME="$(t0p~s3cr3t!)"
MINT_USER_BOOTSTRAP='t0p~s3cr3t!'
