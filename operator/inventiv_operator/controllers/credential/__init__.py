"""ProviderCredential: from a Secret to an encrypted, validated key, and back to nothing."""
