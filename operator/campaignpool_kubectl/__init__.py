"""The kubectl plugin: what `campaignpool` can do with pools of a cluster, with the user's kubeconfig and rights."""
