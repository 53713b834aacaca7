export const reconcile = () => ({draw: () => '', stop(){}});
