export const record = () => ({draw: () => '', stop(){}});
